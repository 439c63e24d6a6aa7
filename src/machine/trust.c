/*
 * Each distribution has folders for certificates that its administrator adds, and a tool that puts them and its own
 * together. What the tool has made is the wrong thing to look at: it has the distribution's in it, and the image has a
 * set of its own, maybe a newer one.
 */
#include "machine/trust.h"

#include "base/file.h"
#include "base/log.h"
#include "base/text.h"

#include <dirent.h>
#include <fcntl.h>
#include <limits.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

enum { NAME_MAX_SHOWN = 64 };

/* Where it is no more than ".crt" the distribution's tool ignores the others. */
static const struct {
	const char *path, *suffix;
} folders[] = {
	{"/usr/local/share/ca-certificates", ".crt"},      /* Debian, Alpine */
	{"/etc/pki/ca-trust/source/anchors", ""},          /* Fedora */
	{"/usr/share/pki/ca-trust-source/anchors", ""},    /* Fedora's packages */
	{"/etc/pki/trust/anchors", ""},                    /* SUSE */
	{"/usr/share/pki/trust/anchors", ""},              /* SUSE's packages */
	{"/etc/ca-certificates/trust-source/anchors", ""}, /* Arch */
};

struct collection {
	struct text text;
	size_t count, files;
	bool full;
	unsigned char digests[TRUST_CERTIFICATES_MAX][EVP_MAX_MD_SIZE];
};

static void cleanup_bio(BIO **bio)
{
	BIO_free(*bio);
}

static void cleanup_x509(X509 **certificate)
{
	X509_free(*certificate);
}

static bool is_known(struct collection *collection, const unsigned char digest[EVP_MAX_MD_SIZE], unsigned size)
{
	for (size_t i = 0; i < collection->count; i++) {
		if (memcmp(collection->digests[i], digest, size) == 0)
			return true;
	}
	return false;
}

/* "Corp Root", for people. */
static void add_name(struct text *out, X509 *certificate)
{
	char name[256] = "";
	X509_NAME *subject = X509_get_subject_name(certificate);

	if (X509_NAME_get_text_by_NID(subject, NID_commonName, name, sizeof(name)) <= 0)
		X509_NAME_oneline(subject, name, sizeof(name));
	text_add_clean(out, name, NAME_MAX_SHOWN);
}

static void put(struct collection *collection, X509 *certificate)
{
	CLEANUP(cleanup_bio) BIO *memory = BIO_new(BIO_s_mem());
	auto_text struct text one = {0};
	char *pem = NULL;
	long size;

	if (!memory || !PEM_write_bio_X509(memory, certificate)) {
		collection->text.broken = true;
		return;
	}
	size = BIO_get_mem_data(memory, &pem);
	text_printf(&one, "# %08lx ", X509_subject_name_hash(certificate));
	add_name(&one, certificate);
	text_add_char(&one, '\n');
	text_add_bytes(&one, pem, size > 0 ? (size_t)size : 0);
	if (!text_ok(&one)) {
		collection->text.broken = true;
		return;
	}
	collection->full = collection->text.size + one.size > TRUST_SIZE_MAX;
	if (!collection->full) {
		text_add_bytes(&collection->text, one.data, one.size);
		collection->count++;
	}
}

/* A root of the first version of X.509 has no basic constraints, and is one if it has signed itself. */
static bool is_authority(X509 *certificate)
{
	enum { BY_CONSTRAINTS = 1, FIRST_VERSION = 3 };
	int kind = X509_check_ca(certificate);

	return kind == BY_CONSTRAINTS || kind == FIRST_VERSION;
}

static void take(struct collection *collection, X509 *certificate, const char *path)
{
	unsigned char digest[EVP_MAX_MD_SIZE] = {0};
	unsigned size = 0;

	if (!is_authority(certificate)) {
		log_info("%s: not the certificate of an authority: the machine does not get it", path);
		return;
	}
	if (X509_cmp_current_time(X509_get0_notAfter(certificate)) < 0) {
		log_info("%s: not valid any more: the machine does not get it", path);
		return;
	}
	if (!X509_digest(certificate, EVP_sha256(), digest, &size)) {
		collection->text.broken = true;
		return;
	}
	if (is_known(collection, digest, size))
		return;
	if (collection->count == TRUST_CERTIFICATES_MAX) {
		collection->full = true;
		return;
	}
	memcpy(collection->digests[collection->count], digest, sizeof(digest));
	put(collection, certificate);
}

/* PEM, any number of them, or one in DER. */
static void take_file(struct collection *collection, const char *path)
{
	CLEANUP(cleanup_bio) BIO *memory = NULL;
	auto_free char *bytes = NULL;
	size_t size = 0, found = 0;
	int result = file_read_regular(&bytes, &size, AT_FDCWD, path, TRUST_FILE_MAX);

	if (result < 0) {
		log_info("%s: %s", path, strerror(-result));
		return;
	}
	memory = BIO_new_mem_buf(bytes, (int)size);
	while (memory && !collection->full) {
		CLEANUP(cleanup_x509) X509 *certificate = PEM_read_bio_X509(memory, NULL, NULL, NULL);

		if (!certificate)
			break;
		found++;
		take(collection, certificate, path);
	}
	if (found == 0) {
		const unsigned char *at = (const unsigned char *)bytes;
		CLEANUP(cleanup_x509) X509 *certificate = d2i_X509(NULL, &at, (long)size);

		if (certificate)
			take(collection, certificate, path);
		else
			log_info("%s: not a certificate", path);
	}
	ERR_clear_error();
}

static int compare(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

static int list(struct text_list *ret, const char *path)
{
	DIR *folder = opendir(path);
	struct dirent *entry;
	int result = 0;

	while (folder && result == 0 && ret->count < TRUST_FILES_MAX && (entry = readdir(folder))) {
		if (entry->d_name[0] != '.')
			result = text_list_add(ret, entry->d_name);
	}
	if (folder)
		closedir(folder);
	if (ret->count > 0)
		qsort(ret->items, ret->count, sizeof(*ret->items), compare);
	return result;
}

/* Links count: administrators' tools make them. */
static int take_folder(struct collection *collection, const char *path, const char *suffix, unsigned depth)
{
	auto_text_list struct text_list entries = {0};
	int result = list(&entries, path);

	for (size_t i = 0; i < entries.count && result == 0 && !collection->full; i++) {
		auto_free char *entry = path_join(path, entries.items[i]);
		struct stat st;

		if (!entry)
			return -ENOMEM;
		if (++collection->files > TRUST_FILES_MAX || stat(entry, &st) < 0)
			continue;
		if (S_ISDIR(st.st_mode) && depth < TRUST_DEPTH_MAX)
			result = take_folder(collection, entry, suffix, depth + 1);
		else if (S_ISREG(st.st_mode) && text_ends(entry, suffix))
			take_file(collection, entry);
	}
	return result;
}

static void cleanup_collection(struct collection **collection)
{
	if (*collection)
		text_clear(&(*collection)->text);
	free(*collection);
}

int trust_collect(char **ret, size_t *ret_size, const char *root, struct annex_error **err)
{
	CLEANUP(cleanup_collection) struct collection *collection = calloc(1, sizeof(*collection));
	char path[PATH_MAX];
	int result = 0;

	if (!collection)
		return fail_memory(err);
	for (size_t i = 0; i < COUNT_OF(folders) && result == 0 && !collection->full; i++) {
		snprintf(path, sizeof(path), "%s%s", root, folders[i].path);
		result = take_folder(collection, path, folders[i].suffix, 1);
	}
	if (collection->full)
		log_info("the host has more certificates than a machine gets: %u, or %u KiB of them",
			 TRUST_CERTIFICATES_MAX, TRUST_SIZE_MAX >> 10);
	if (result < 0 || !text_ok(&collection->text))
		return fail_memory(err);
	*ret_size = collection->text.size;
	*ret = text_take(&collection->text);
	return *ret ? 0 : fail_memory(err);
}
