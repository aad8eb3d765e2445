/* SPDX-License-Identifier: PostgreSQL */
#include "cookie.h"

#include "support/check.h"

#define SECRET "0123456789abcdef0123456789abcdef"
#define NOW 1000

static struct keys keys;

static void write_one(char text[TOKEN_TEXT_BYTES], struct token *token)
{
	keys_make(&keys, SECRET);
	token_make(token, NOW + 10);
	token_write(&keys, KEY_SESSION, token, text);
}

TEST(a_token_comes_back)
{
	struct token token, read = { 0 };
	char text[TOKEN_TEXT_BYTES];

	write_one(text, &token);
	CHECK(token_read(&keys, KEY_SESSION, text, strlen(text), NOW, &read));
	CHECK(memcmp(&token, &read, sizeof(token)) == 0);
	CHECK(!token_read(&keys, KEY_SESSION, text, strlen(text), NOW + 10, &read));
	CHECK(!token_read(&keys, KEY_VISIT, text, strlen(text), NOW, &read));
}

TEST(no_byte_of_it_may_change)
{
	struct token token, read;
	char text[TOKEN_TEXT_BYTES];
	struct keys others;

	write_one(text, &token);
	for (size_t i = 0; text[i]; i++) {
		char was = text[i];

		text[i] = was == 'A' ? 'B' : 'A';
		CHECK(!token_read(&keys, KEY_SESSION, text, strlen(text), NOW, &read));
		text[i] = was;
	}
	for (size_t length = 0; length < strlen(text); length++)
		CHECK(!token_read(&keys, KEY_SESSION, text, length, NOW, &read));
	keys_make(&others, SECRET "x");
	CHECK(!token_read(&others, KEY_SESSION, text, strlen(text), NOW, &read));
}

TEST(a_form_is_of_one_session)
{
	struct token token, other;
	char word[FORM_TEXT_BYTES];

	keys_make(&keys, SECRET);
	token_make(&token, NOW);
	token_make(&other, NOW);
	form_word(&keys, KEY_SESSION, &token, word);
	CHECK(form_word_is(&keys, KEY_SESSION, &token, word));
	CHECK(!form_word_is(&keys, KEY_VISIT, &token, word));
	CHECK(!form_word_is(&keys, KEY_SESSION, &other, word));
	CHECK(!form_word_is(&keys, KEY_SESSION, &token, ""));
	word[0] = word[0] == 'A' ? 'B' : 'A';
	CHECK(!form_word_is(&keys, KEY_SESSION, &token, word));
}

static const char *find(const char *header, const char *name)
{
	static char value[32];
	size_t length;
	const char *at = cookie_find(header, name, &length);

	if (!at)
		return "none";
	snprintf(value, sizeof(value), "%.*s", (int)length, at);
	return value;
}

TEST(cookies_are_found_by_their_whole_name)
{
	CHECK_STR(find("a=1; b=2", "a"), "1");
	CHECK_STR(find("a=1; b=2", "b"), "2");
	CHECK_STR(find("a=1;b=2;  a=3", "a"), "1");
	CHECK_STR(find("aa=1", "a"), "none");
	CHECK_STR(find("xa=1", "a"), "none");
	CHECK_STR(find("a", "a"), "none");
	CHECK_STR(find("a=", "a"), "");
	CHECK_STR(find("", "a"), "none");
	CHECK_STR(find(";;; ;a=1=2", "a"), "1=2");
}

CHECK_TABLE(T(a_token_comes_back), T(no_byte_of_it_may_change), T(a_form_is_of_one_session),
	    T(cookies_are_found_by_their_whole_name))
