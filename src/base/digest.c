#include "base/digest.h"

#include "base/text.h"

#include <assert.h>
#include <fcntl.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <string.h>

struct digest {
	EVP_MD_CTX *context;
};

int digest_new(struct digest **ret)
{
	struct digest *digest = calloc(1, sizeof(*digest));

	if (!digest)
		return -ENOMEM;
	digest->context = EVP_MD_CTX_new();
	if (!digest->context || EVP_DigestInit_ex(digest->context, EVP_sha256(), NULL) != 1) {
		digest_free(digest);
		return -ENOMEM;
	}
	*ret = digest;
	return 0;
}

void digest_add(struct digest *digest, const void *bytes, size_t size)
{
	int done = EVP_DigestUpdate(digest->context, bytes, size);

	assert(done == 1);
}

void digest_finish(struct digest *digest, char ret[DIGEST_TEXT])
{
	unsigned char raw[EVP_MAX_MD_SIZE];
	unsigned size = 0;
	int done = EVP_DigestFinal_ex(digest->context, raw, &size);

	assert(done == 1 && size == 32);
	strcpy(ret, "sha256:");
	for (unsigned i = 0; i < size; i++)
		sprintf(ret + 7 + 2 * (size_t)i, "%02x", raw[i]);
}

void digest_free(struct digest *digest)
{
	if (!digest)
		return;
	EVP_MD_CTX_free(digest->context);
	free(digest);
}

void digest_of(char ret[DIGEST_TEXT], const void *bytes, size_t size)
{
	auto_digest struct digest *digest = NULL;
	int made = digest_new(&digest);

	assert(made == 0);
	digest_add(digest, bytes, size);
	digest_finish(digest, ret);
}

int digest_of_file(char ret[DIGEST_TEXT], int dir, const char *path)
{
	enum { CHUNK = 1 << 17 };
	auto_close int fd = openat(dir, path, O_RDONLY | O_CLOEXEC);
	auto_digest struct digest *digest = NULL;
	auto_free char *chunk = malloc(CHUNK);
	ssize_t n;

	if (fd < 0)
		return -errno;
	if (!chunk || digest_new(&digest) < 0)
		return -ENOMEM;
	while ((n = read(fd, chunk, CHUNK)) > 0)
		digest_add(digest, chunk, (size_t)n);
	if (n < 0)
		return -errno;
	digest_finish(digest, ret);
	return 0;
}

bool digest_is_valid(const char *text)
{
	return text_starts(text, "sha256:") && strlen(text) == DIGEST_TEXT - 1 &&
	       strspn(text + 7, "0123456789abcdef") == 64;
}

const char *digest_hex(const char *digest)
{
	return digest + strlen("sha256:");
}

int digest_prepare(void)
{
	auto_digest struct digest *digest = NULL;

	/* The provider of SHA-256 is found with the first digest. */
	return OPENSSL_init_crypto(OPENSSL_INIT_NO_LOAD_CONFIG, NULL) == 1 ? digest_new(&digest) : -ENOMEM;
}
