/* SPDX-License-Identifier: PostgreSQL */
#include "cli/elf.h"

#include <elf.h>
#include <errno.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define HEADERS_MAX 256
#define DYNAMIC_MAX 1024

/* What the rest works on, whichever class the file is of. */
struct segment {
	uint32_t type;
	uint64_t offset, address, file_bytes;
};

struct image {
	int fd;
	bool is_64;
	uint64_t headers_offset;
	unsigned header_bytes, headers;
	uint64_t sections_end;
};

static int read_at(int fd, void *buf, size_t bytes, uint64_t offset)
{
	ssize_t got;

	if (offset > INT64_MAX)
		return -ENOEXEC;
	got = pread(fd, buf, bytes, (off_t)offset);
	if (got < 0)
		return -errno;
	return (size_t)got == bytes ? 0 : -ENOEXEC;
}

static int open_image(int fd, struct image *image, struct tine_elf *elf)
{
	static const uint16_t probe = 1;
	const uint8_t here = *(const uint8_t *)&probe ? ELFDATA2LSB : ELFDATA2MSB;
	union {
		unsigned char ident[EI_NIDENT];
		Elf32_Ehdr small;
		Elf64_Ehdr big;
	} header;
	int rc = read_at(fd, &header, sizeof(header.small), 0);

	if (rc < 0)
		return rc;
	if (memcmp(header.ident, ELFMAG, SELFMAG) != 0)
		return -ENOEXEC;
	image->fd = fd;
	image->is_64 = header.ident[EI_CLASS] == ELFCLASS64;
	elf->class = header.ident[EI_CLASS];
	elf->machine = header.small.e_machine;
	if (header.ident[EI_DATA] != here)
		return 0; /* another machine's: class and machine say so */
	if (!image->is_64) {
		image->headers_offset = header.small.e_phoff;
		image->header_bytes = sizeof(Elf32_Phdr);
		image->headers = header.small.e_phnum;
		image->sections_end =
			header.small.e_shoff + header.small.e_shnum * sizeof(Elf32_Shdr);
		return 0;
	}
	rc = read_at(fd, &header.big, sizeof(header.big), 0);
	image->headers_offset = header.big.e_phoff;
	image->header_bytes = sizeof(Elf64_Phdr);
	image->headers = header.big.e_phnum;
	image->sections_end = header.big.e_shoff + header.big.e_shnum * sizeof(Elf64_Shdr);
	return rc;
}

static int read_segment(const struct image *image, unsigned index, struct segment *segment)
{
	uint64_t offset = image->headers_offset + (uint64_t)index * image->header_bytes;
	Elf64_Phdr big;
	Elf32_Phdr small;
	int rc = image->is_64 ? read_at(image->fd, &big, sizeof(big), offset)
			      : read_at(image->fd, &small, sizeof(small), offset);

	if (rc < 0)
		return rc;
	if (image->is_64)
		*segment = (struct segment){ big.p_type, big.p_offset, big.p_vaddr, big.p_filesz };
	else
		*segment = (struct segment){ small.p_type, small.p_offset, small.p_vaddr,
					     small.p_filesz };
	return 0;
}

static int find_segment(const struct image *image, uint32_t type, struct segment *ret_segment)
{
	for (unsigned i = 0; i < image->headers && i < HEADERS_MAX; i++) {
		int rc = read_segment(image, i, ret_segment);

		if (rc < 0)
			return rc;
		if (ret_segment->type == type)
			return 0;
	}
	return -ENOENT;
}

static uint64_t file_offset(const struct image *image, uint64_t address)
{
	struct segment segment;

	for (unsigned i = 0; i < image->headers && i < HEADERS_MAX; i++)
		if (read_segment(image, i, &segment) == 0 && segment.type == PT_LOAD &&
		    address >= segment.address && address - segment.address < segment.file_bytes)
			return segment.offset + (address - segment.address);
	return UINT64_MAX;
}

static int read_dynamic(const struct image *image, const struct segment *dynamic, unsigned index,
			Elf64_Dyn *ret_entry)
{
	Elf32_Dyn small;
	int rc;

	if (image->is_64)
		return read_at(image->fd, ret_entry, sizeof(*ret_entry),
			       dynamic->offset + index * sizeof(*ret_entry));
	rc = read_at(image->fd, &small, sizeof(small), dynamic->offset + index * sizeof(small));
	if (rc < 0)
		return rc;
	ret_entry->d_tag = small.d_tag;
	ret_entry->d_un.d_val = small.d_un.d_val;
	return 0;
}

static bool needs(const struct image *image, const char *library)
{
	struct segment dynamic;
	Elf64_Dyn entry;
	uint64_t strings = UINT64_MAX;
	char name[32] = "";

	if (find_segment(image, PT_DYNAMIC, &dynamic) < 0)
		return false;
	for (unsigned i = 0; i < DYNAMIC_MAX && !read_dynamic(image, &dynamic, i, &entry); i++) {
		if (entry.d_tag == DT_NULL)
			break;
		if (entry.d_tag == DT_STRTAB)
			strings = file_offset(image, entry.d_un.d_ptr);
	}
	for (unsigned i = 0; i < DYNAMIC_MAX && !read_dynamic(image, &dynamic, i, &entry); i++) {
		if (entry.d_tag == DT_NULL)
			break;
		if (entry.d_tag == DT_NEEDED && strings != UINT64_MAX &&
		    read_at(image->fd, name, strlen(library), strings + entry.d_un.d_val) == 0 &&
		    memcmp(name, library, strlen(library)) == 0)
			return true;
	}
	return false;
}

static bool is_complete(int fd, const struct image *image)
{
	struct stat st;

	return fstat(fd, &st) == 0 && image->sections_end <= (uint64_t)st.st_size;
}

int tine_elf_read(int fd, struct tine_elf *ret_elf)
{
	struct image image = { 0 };
	struct segment interpreter;
	int rc;

	*ret_elf = (struct tine_elf){ 0 };
	rc = open_image(fd, &image, ret_elf);
	if (rc < 0)
		return rc;
	ret_elf->complete = is_complete(fd, &image);
	rc = find_segment(&image, PT_INTERP, &interpreter);
	if (rc == -ENOENT)
		return 0;
	if (rc < 0)
		return rc;
	if (interpreter.file_bytes == 0 || interpreter.file_bytes > sizeof(ret_elf->interpreter))
		return -ENOEXEC;
	rc = read_at(fd, ret_elf->interpreter, interpreter.file_bytes, interpreter.offset);
	ret_elf->interpreter[sizeof(ret_elf->interpreter) - 1] = '\0';
	ret_elf->needs_libasan = needs(&image, "libasan.so.");
	return rc;
}
