#include "base/base64.h"

#include <limits.h>
#include <openssl/evp.h>
#include <string.h>

static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

char *base64_encode(const void *bytes, size_t size)
{
	char *text = size < INT_MAX / 2 ? malloc((size + 2) / 3 * 4 + 1) : NULL;

	if (text)
		EVP_EncodeBlock((unsigned char *)text, bytes, (int)size);
	return text;
}

int base64_decode(char **ret, size_t *ret_size, const char *text)
{
	size_t length = strlen(text), word = strspn(text, alphabet), padding = length - word;
	char *bytes;

	/* libcrypto takes padding, and spaces, in more places than there can be any. */
	if (length % 4 || padding > 2 || strspn(text + word, "=") != padding || length >= INT_MAX)
		return -EINVAL;
	bytes = malloc(length / 4 * 3 + 1);
	if (!bytes)
		return -ENOMEM;
	if (EVP_DecodeBlock((unsigned char *)bytes, (const unsigned char *)text, (int)length) < 0) {
		free(bytes);
		return -EINVAL;
	}
	*ret_size = length / 4 * 3 - padding;
	bytes[*ret_size] = '\0';
	*ret = bytes;
	return 0;
}
