/* SPDX-License-Identifier: PostgreSQL */
/*
 * Versions out of library files. libpq has its version nowhere but in the code of PQlibVersion(),
 * which returns a constant; libcrypto has it as text. The files belong to somebody else: every
 * offset is checked.
 *
 * Owns nothing. Locks: none. Fork: nothing to do.
 */
#include <elf.h>
#include <endian.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "doctor/flaw.h"
#include "doctor/library.h"

struct file {
	const uint8_t *bytes;
	size_t size;
};

/* Bytes of the file, or NULL when they are not all there. */
static const void *at(const struct file *file, uint64_t offset, uint64_t length)
{
	if (offset > file->size || length > file->size - offset)
		return NULL;
	return file->bytes + offset;
}

/* The place in the file of an address. */
static const uint8_t *code_at(const struct file *file, const Elf64_Ehdr *header, uint64_t address,
			      size_t length)
{
	for (unsigned i = 0; i < header->e_phnum; i++) {
		const uint8_t *place =
			at(file, header->e_phoff + i * sizeof(Elf64_Phdr), sizeof(Elf64_Phdr));
		Elf64_Phdr segment;

		if (!place)
			return NULL;
		memcpy(&segment, place, sizeof(segment));
		if (segment.p_type == PT_LOAD && address >= segment.p_vaddr &&
		    address - segment.p_vaddr < segment.p_filesz)
			return at(file, segment.p_offset + (address - segment.p_vaddr), length);
	}
	return NULL;
}

static bool section_at(const struct file *file, const Elf64_Ehdr *header, unsigned index,
		       Elf64_Shdr *ret_section)
{
	const void *place =
		at(file, header->e_shoff + index * sizeof(*ret_section), sizeof(*ret_section));

	if (!place || index >= header->e_shnum)
		return false;
	memcpy(ret_section, place, sizeof(*ret_section));
	return true;
}

/* The address of a dynamic symbol in one symbol table, or 0. */
static uint64_t look_up(const struct file *file, const Elf64_Ehdr *header,
			const Elf64_Shdr *symbols, const char *name)
{
	Elf64_Shdr strings;
	size_t length = strlen(name) + 1;

	if (!section_at(file, header, symbols->sh_link, &strings))
		return 0;
	for (uint64_t i = 0; i < symbols->sh_size / sizeof(Elf64_Sym); i++) {
		const void *place =
			at(file, symbols->sh_offset + i * sizeof(Elf64_Sym), sizeof(Elf64_Sym));
		const char *text;
		Elf64_Sym symbol;

		if (!place)
			return 0;
		memcpy(&symbol, place, sizeof(symbol));
		if (symbol.st_name > strings.sh_size || !symbol.st_value)
			continue;
		text = at(file, strings.sh_offset + symbol.st_name, length);
		if (text && memcmp(text, name, length) == 0)
			return symbol.st_value;
	}
	return 0;
}

/* "return N;" of x86-64: mov $N,%eax, with endbr64 before it perhaps; of arm64: mov w0 and movk. */
static int constant_of(const uint8_t *code, unsigned machine)
{
	static const uint8_t endbr64[] = { 0xf3, 0x0f, 0x1e, 0xfa };
	uint32_t words[3];

	if (machine == EM_X86_64) {
		if (memcmp(code, endbr64, sizeof(endbr64)) == 0)
			code += sizeof(endbr64);
		memcpy(words, code + 1, sizeof(words[0]));
		return code[0] == 0xb8 ? (int)le32toh(words[0]) : 0;
	}
	if (machine != EM_AARCH64)
		return 0;
	memcpy(words, code, sizeof(words));
	if (le32toh(words[0]) == 0xd503245f) /* bti c */
		memmove(words, words + 1, 2 * sizeof(words[0]));
	if ((le32toh(words[0]) & 0xffe0001f) != 0x52800000 ||
	    (le32toh(words[1]) & 0xffe0001f) != 0x72a00000)
		return 0;
	return (int)((le32toh(words[0]) >> 5 & 0xffff) | (le32toh(words[1]) >> 5 & 0xffff) << 16);
}

int tine_library_libpq_version(const void *bytes, size_t size)
{
	const struct file file = { bytes, size };
	Elf64_Ehdr header;
	Elf64_Shdr section;

	if (size < sizeof(header))
		return 0;
	memcpy(&header, bytes, sizeof(header));
	if (memcmp(header.e_ident, ELFMAG, SELFMAG) != 0 ||
	    header.e_ident[EI_CLASS] != ELFCLASS64 || header.e_ident[EI_DATA] != ELFDATA2LSB)
		return 0;
	for (unsigned i = 0; section_at(&file, &header, i, &section); i++) {
		const uint8_t *code;
		uint64_t address;
		int version;

		if (section.sh_type != SHT_DYNSYM)
			continue;
		address = look_up(&file, &header, &section, "PQlibVersion");
		code = address ? code_at(&file, &header, address, 16) : NULL;
		version = code ? constant_of(code, header.e_machine) : 0;
		/* 8.0 to 99.x: else it was no such instruction */
		return version >= 80000 && version < 1000000 ? version : 0;
	}
	return 0;
}

int tine_library_openssl_version(const void *bytes, size_t size, char *text, size_t text_size)
{
	static const char mark[] = "OpenSSL ";
	const char *place = bytes, *end = place + size;

	while ((place = memmem(place, (size_t)(end - place), mark, sizeof(mark) - 1)) != NULL) {
		char word[48], letters[8] = "";
		unsigned major, minor, patch, day, year;
		int letter = 0;

		place += sizeof(mark) - 1;
		snprintf(word, sizeof(word), "%.*s",
			 (int)strnlen(place, (size_t)(end - place) < sizeof(word)
						     ? (size_t)(end - place)
						     : sizeof(word) - 1),
			 place);
		/* "3.0.2 15 Mar 2022" or "1.1.1n  15 Mar 2022" */
		if (sscanf(word, "%2u.%2u.%2u%7[a-z] %2u %*3[A-Za-z] %4u", &major, &minor, &patch,
			   letters, &day, &year) != 6 &&
		    sscanf(word, "%2u.%2u.%2u %2u %*3[A-Za-z] %4u", &major, &minor, &patch, &day,
			   &year) != 5)
			continue;
		/* 1.0.2z was followed by 1.0.2za */
		for (const char *p = letters; *p; p++)
			letter += *p - 'a' + 1;
		snprintf(text, text_size, "%u.%u.%u%s", major, minor, patch, letters);
		return TINE_OPENSSL((int)major, (int)minor, (int)patch, letter);
	}
	return 0;
}
