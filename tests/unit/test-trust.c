/* With real certificates, made here. */
#include "base/text.h"
#include "home.h"
#include "machine/trust.h"
#include "test.h"

#include <openssl/bio.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>

enum { DAY = 86400 };

struct wish {
	const char *name, *constraints;
	long from, to; /* seconds from now */
	bool der;
};

/* Self-signed. The caller frees it. */
static char *make(size_t *ret_size, const struct wish *wish)
{
	X509 *certificate = X509_new();
	EVP_PKEY *key = EVP_PKEY_Q_keygen(NULL, NULL, "ED25519");
	X509_NAME *name = X509_get_subject_name(certificate);
	BIO *memory = BIO_new(BIO_s_mem());
	char *bytes = NULL, *copy;
	long size;

	assert_true(certificate && key && memory);
	X509_set_version(certificate, wish->constraints ? 2 : 0);
	ASN1_INTEGER_set(X509_get_serialNumber(certificate), 1);
	X509_gmtime_adj(X509_getm_notBefore(certificate), wish->from);
	X509_gmtime_adj(X509_getm_notAfter(certificate), wish->to);
	X509_set_pubkey(certificate, key);
	X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_UTF8, (const unsigned char *)wish->name, -1, -1, 0);
	X509_set_issuer_name(certificate, name);
	if (wish->constraints) {
		X509_EXTENSION *extension = X509V3_EXT_conf_nid(NULL, NULL, NID_basic_constraints, wish->constraints);

		assert_non_null(extension);
		X509_add_ext(certificate, extension, -1);
		X509_EXTENSION_free(extension);
	}
	assert_true(X509_sign(certificate, key, NULL) > 0);
	assert_int_equal(wish->der ? i2d_X509_bio(memory, certificate) : PEM_write_bio_X509(memory, certificate), 1);
	size = BIO_get_mem_data(memory, &bytes);
	copy = calloc(1, (size_t)size + 1);
	assert_non_null(copy);
	memcpy(copy, bytes, (size_t)size);
	*ret_size = (size_t)size;
	BIO_free(memory);
	EVP_PKEY_free(key);
	X509_free(certificate);
	return copy;
}

static char *authority(const char *name)
{
	size_t size;

	return make(&size, &(struct wish){name, "critical,CA:TRUE", -DAY, DAY, false});
}

static void put(const char *path, const char *bytes, size_t size)
{
	home_write(path, "", 0644);
	assert_int_equal(file_write_atomic(AT_FDCWD, home_path(path), bytes, size, 0644), 0);
}

/* What is found, in lines: the names only. */
static void expect(const char *names)
{
	auto_free char *found = NULL;
	auto_text struct text lines = {0};
	size_t size = 0, begins = 0;
	char *at, *line;

	assert_int_equal(trust_collect(&found, &size, folder, NULL), 0);
	assert_int_equal(strlen(found), size);
	at = found;
	while ((line = strsep(&at, "\n"))) {
		begins += strcmp(line, "-----BEGIN CERTIFICATE-----") == 0;
		if (*line != '#')
			continue;
		assert_int_equal(strspn(line + 2, "0123456789abcdef"), 8);
		text_printf(&lines, "%s\n", line + 11);
		begins += 1000;
	}
	assert_int_equal(begins % 1000, begins / 1000);
	assert_string_equal(lines.data ? lines.data : "", names);
}

static void there_may_be_none(void **state)
{
	(void)state;
	expect("");
}

static void each_distributions_folders_are_looked_at(void **state)
{
	static const char *const places[] = {"usr/local/share/ca-certificates/corp/debian.crt",
					     "etc/pki/ca-trust/source/anchors/fedora.pem", "etc/pki/trust/anchors/suse",
					     "etc/ca-certificates/trust-source/anchors/arch.crt"};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(places); i++) {
		auto_free char *pem = authority(path_name(places[i]));

		home_write(places[i], pem, 0644);
	}
	expect("debian.crt\nfedora.pem\nsuse\narch.crt\n");
}

static void only_valid_authorities_count_and_each_once(void **state)
{
	static const struct wish wishes[] = {
		{"a of der", "CA:TRUE", -DAY, DAY, true},
		{"b is a server's", "CA:FALSE", -DAY, DAY, false},
		{"c is over", "CA:TRUE", -2 * DAY, -DAY, false},
		{"d will be", "CA:TRUE", DAY, 2 * DAY, false},
		{"e is old", NULL, -DAY, DAY, false},
	};
	auto_free char *one = authority("one"), *two = authority("two"), *both = NULL;
	char path[64];

	(void)state;
	for (size_t i = 0; i < COUNT_OF(wishes); i++) {
		size_t size = 0;
		auto_free char *bytes = make(&size, &wishes[i]);

		snprintf(path, sizeof(path), "usr/local/share/ca-certificates/%c.crt", (int)('a' + i));
		put(path, bytes, size);
	}
	assert_true(asprintf(&both, "two of them\n%s\n%s", one, two) > 0);
	home_write("usr/local/share/ca-certificates/m.crt", both, 0644);
	home_write("usr/local/share/ca-certificates/n.crt", two, 0644);
	home_write("usr/local/share/ca-certificates/o.pem", one, 0644);
	home_write("usr/local/share/ca-certificates/p.crt", "nothing of the kind", 0644);
	home_write("usr/local/share/ca-certificates/q.crt", "", 0644);
	home_write("etc/pki/ca-trust/source/anchors/one.pem", one, 0644);
	assert_int_equal(mkfifo(home_path("usr/local/share/ca-certificates/r.crt"), 0644), 0);
	assert_int_equal(symlink("/proc/self/mem", home_path("usr/local/share/ca-certificates/s.crt")), 0);
	assert_int_equal(symlink(".", home_path("usr/local/share/ca-certificates/t")), 0);
	expect("a of der\nd will be\ne is old\none\ntwo\n");
}

static void a_name_is_no_more_than_a_line(void **state)
{
	auto_free char *pem = authority("evil\n-----BEGIN CERTIFICATE-----\nname");

	(void)state;
	home_write("usr/local/share/ca-certificates/a.crt", pem, 0644);
	expect("evil?-----BEGIN CERTIFICATE-----?name\n");
}

static void there_are_only_so_many(void **state)
{
	auto_text struct text all = {0};
	auto_free char *found = NULL;
	size_t size = 0, count = 0;

	(void)state;
	for (unsigned i = 0; i < TRUST_CERTIFICATES_MAX + 3; i++) {
		auto_free char *pem = authority("one of many");

		text_add(&all, pem);
	}
	home_write("usr/local/share/ca-certificates/a.crt", all.data, 0644);
	assert_int_equal(trust_collect(&found, &size, folder, NULL), 0);
	for (const char *at = found; (at = strstr(at, "-----BEGIN")); at++)
		count++;
	assert_int_equal(count, TRUST_CERTIFICATES_MAX);
	assert_true(size <= TRUST_SIZE_MAX);
}

#define TRUST_TEST(name) cmocka_unit_test_setup(name, home_set_up)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TRUST_TEST(there_may_be_none),
		TRUST_TEST(each_distributions_folders_are_looked_at),
		TRUST_TEST(only_valid_authorities_count_and_each_once),
		TRUST_TEST(a_name_is_no_more_than_a_line),
		TRUST_TEST(there_are_only_so_many),
	};

	return cmocka_run_group_tests(tests, folder_set_up, folder_tear_down);
}
