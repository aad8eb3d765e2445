/* SPDX-License-Identifier: PostgreSQL */
#include "base/text.h"

#include <string.h>

static void add_byte(struct tine_text *text, char byte)
{
	if (text->length + 1 < text->size) {
		text->buf[text->length++] = byte;
		text->buf[text->length] = '\0';
		return;
	}
	if (!text->cut)
		memcpy(text->buf + text->size - 4, "...", 4);
	text->cut = true;
}

void tine_text_init(struct tine_text *text, char *buf, size_t size_bytes)
{
	*text = (struct tine_text){ .buf = buf, .size = size_bytes };
	buf[0] = '\0';
}

void tine_text_add(struct tine_text *text, const char *string)
{
	while (*string)
		add_byte(text, *string++);
}

void tine_text_add_foreign(struct tine_text *text, const char *bytes, size_t length)
{
	for (size_t i = 0; i < length; i++) {
		unsigned char byte = (unsigned char)bytes[i];

		add_byte(text, byte >= 0x20 && byte < 0x7f ? (char)byte : '?');
	}
}

void tine_text_add_number(struct tine_text *text, uint64_t number)
{
	char digits[20];
	size_t count = 0;

	do {
		digits[count++] = (char)('0' + number % 10);
		number /= 10;
	} while (number);
	while (count)
		add_byte(text, digits[--count]);
}
