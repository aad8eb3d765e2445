/* SPDX-License-Identifier: PostgreSQL */
#include "cookie.h"

#include <string.h>

#include <sodium.h>

#define SIGNED_BYTES (TOKEN_ID_BYTES + 8)
#define TOKEN_BYTES (SIGNED_BYTES + crypto_auth_BYTES)
#define VARIANT sodium_base64_VARIANT_URLSAFE_NO_PADDING

_Static_assert(KEY_BYTES == crypto_auth_KEYBYTES && KEY_BYTES == crypto_kdf_KEYBYTES, "keys");
_Static_assert(TOKEN_TEXT_BYTES > (TOKEN_BYTES * 4 + 2) / 3, "a token's text");
_Static_assert(FORM_TEXT_BYTES > (crypto_auth_BYTES * 4 + 2) / 3, "a form's word");

void keys_make(struct keys *keys, const char *secret)
{
	unsigned char root[crypto_kdf_KEYBYTES];

	crypto_generichash(root, sizeof(root), (const unsigned char *)secret, strlen(secret), NULL,
			   0);
	for (unsigned use = 0; use < KEY_COUNT; use++)
		crypto_kdf_derive_from_key(keys->key[use], KEY_BYTES, use + 1, "records1", root);
	sodium_memzero(root, sizeof(root));
}

void token_make(struct token *token, int64_t expires_s)
{
	randombytes_buf(token->id, sizeof(token->id));
	token->expires_s = expires_s;
}

static void pack(const struct token *token, unsigned char bytes[SIGNED_BYTES])
{
	memcpy(bytes, token->id, TOKEN_ID_BYTES);
	for (int i = 0; i < 8; i++)
		bytes[TOKEN_ID_BYTES + i] =
			(unsigned char)((uint64_t)token->expires_s >> (56 - 8 * i));
}

static void unpack(const unsigned char bytes[SIGNED_BYTES], struct token *token)
{
	uint64_t expires = 0;

	memcpy(token->id, bytes, TOKEN_ID_BYTES);
	for (int i = 0; i < 8; i++)
		expires = expires << 8 | bytes[TOKEN_ID_BYTES + i];
	token->expires_s = (int64_t)expires;
}

void token_write(const struct keys *keys, enum key_use use, const struct token *token,
		 char text[TOKEN_TEXT_BYTES])
{
	unsigned char bytes[TOKEN_BYTES];

	pack(token, bytes);
	crypto_auth(bytes + SIGNED_BYTES, bytes, SIGNED_BYTES, keys->key[use]);
	sodium_bin2base64(text, TOKEN_TEXT_BYTES, bytes, sizeof(bytes), VARIANT);
}

bool token_read(const struct keys *keys, enum key_use use, const char *text, size_t length,
		int64_t now_s, struct token *ret_token)
{
	unsigned char bytes[TOKEN_BYTES];
	struct token token;
	size_t read;

	if (sodium_base642bin(bytes, sizeof(bytes), text, length, NULL, &read, NULL, VARIANT) !=
		    0 ||
	    read != sizeof(bytes) ||
	    crypto_auth_verify(bytes + SIGNED_BYTES, bytes, SIGNED_BYTES, keys->key[use]) != 0)
		return false;
	unpack(bytes, &token);
	if (token.expires_s <= now_s)
		return false;
	*ret_token = token;
	return true;
}

static void sign_form(const struct keys *keys, enum key_use use, const struct token *token,
		      unsigned char mac[crypto_auth_BYTES])
{
	unsigned char bytes[TOKEN_ID_BYTES + 1];

	bytes[0] = (unsigned char)use;
	memcpy(bytes + 1, token->id, TOKEN_ID_BYTES);
	crypto_auth(mac, bytes, sizeof(bytes), keys->key[KEY_FORM]);
}

void form_word(const struct keys *keys, enum key_use use, const struct token *token,
	       char text[FORM_TEXT_BYTES])
{
	unsigned char mac[crypto_auth_BYTES];

	sign_form(keys, use, token, mac);
	sodium_bin2base64(text, FORM_TEXT_BYTES, mac, sizeof(mac), VARIANT);
}

bool form_word_is(const struct keys *keys, enum key_use use, const struct token *token,
		  const char *text)
{
	unsigned char right[crypto_auth_BYTES], given[crypto_auth_BYTES];
	size_t read;

	if (sodium_base642bin(given, sizeof(given), text, strlen(text), NULL, &read, NULL,
			      VARIANT) != 0 ||
	    read != sizeof(given))
		return false;
	sign_form(keys, use, token, right);
	return sodium_memcmp(right, given, sizeof(right)) == 0;
}

const char *cookie_find(const char *header, const char *name, size_t *ret_length)
{
	size_t name_length = strlen(name);

	while (*header) {
		size_t part;

		header += strspn(header, "; \t");
		part = strcspn(header, ";");
		if (part > name_length && header[name_length] == '=' &&
		    strncmp(header, name, name_length) == 0) {
			*ret_length = part - name_length - 1;
			return header + name_length + 1;
		}
		header += part;
	}
	return NULL;
}
