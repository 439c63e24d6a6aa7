/* The authorities of the host in images of several distributions: folders that stand for an image's root, which root
 * only can enter. */
#include "image-root.h"

#include "guest/trust.h"

#include <dirent.h>

#define PEM(body)  "-----BEGIN CERTIFICATE-----\n" body "\n-----END CERTIFICATE-----\n"
#define ONE        "# 0a1b2c3d One\n" PEM("MIIone")
#define TWO        "# 4e5f6071 Two\n" PEM("MIItwo")
#define OWN        PEM("MIIown")
#define BLOCK(all) "# By annex, at each start: certificates that the host trusts.\n" all "# End of what annex wrote.\n"
#define STORE      "usr/local/share/ca-certificates"
#define CERTS      "etc/ssl/certs"
#define BUNDLE     CERTS "/ca-certificates.crt"

static int set(void *data, struct text *out, struct annex_error **err)
{
	const char *text = data;

	(void)out;
	return trust_set(&(struct message_bytes){text, strlen(text)}, err);
}

static void trust(const char *certificates)
{
	run(set, (void *)certificates);
}

/* The names in a folder that begin with "annex-". */
static size_t count(const char *folder)
{
	char path[256];
	size_t found = 0;
	struct dirent *entry;
	DIR *entries;

	in_root(path, sizeof(path), folder);
	entries = opendir(path);
	while (entries && (entry = readdir(entries)))
		found += strncmp(entry->d_name, "annex-", 6) == 0;
	if (entries)
		closedir(entries);
	return found;
}

/* The file's text by way of a link in a folder; NULL: there is no such link. */
static char *behind(const char *link)
{
	char path[512], target[256];
	char *text = NULL;
	ssize_t n;

	in_root(path, 256, link);
	n = readlink(path, target, sizeof(target) - 1);
	if (n < 0)
		return NULL;
	target[n] = '\0';
	snprintf(path, sizeof(path), "%s%s", root, target);
	assert_int_equal(file_read(&text, NULL, AT_FDCWD, path, 1 << 20), 0);
	return text;
}

static void expect_link(const char *link, const char *pem)
{
	auto_free char *found = behind(link);

	if (pem)
		assert_string_equal(found ? found : "no link", pem);
	else
		assert_null(found);
}

static void on_debian_files_links_and_the_bundle_follow_the_host(void **state)
{
	char path[256];
	struct stat before, after;

	(void)state;
	make_folder(STORE);
	make_folder(CERTS);
	write_file(BUNDLE, OWN, 0644);
	trust(ONE TWO);
	assert_int_equal(count(STORE), 2);
	expect_file(BUNDLE, OWN BLOCK(ONE TWO));
	expect_link(CERTS "/0a1b2c3d.0", PEM("MIIone"));
	expect_link(CERTS "/4e5f6071.0", PEM("MIItwo"));
	in_root(path, sizeof(path), BUNDLE);
	assert_int_equal(stat(path, &before), 0);
	trust(ONE TWO);
	assert_int_equal(stat(path, &after), 0);
	assert_int_equal(before.st_ino, after.st_ino);
	assert_int_equal(count(STORE), 2);
	expect_link(CERTS "/0a1b2c3d.1", NULL);
	trust(TWO);
	assert_int_equal(count(STORE), 1);
	expect_file(BUNDLE, OWN BLOCK(TWO));
	expect_link(CERTS "/0a1b2c3d.0", NULL);
	expect_link(CERTS "/4e5f6071.0", PEM("MIItwo"));
	trust("");
	assert_int_equal(count(STORE), 0);
	expect_file(BUNDLE, OWN);
	expect_link(CERTS "/4e5f6071.0", NULL);
}

static void what_the_images_tool_made_of_them_goes_too(void **state)
{
	char path[256], name[300] = "", pem[300];
	struct dirent *entry;
	DIR *entries;

	(void)state;
	make_folder(STORE);
	make_folder(CERTS);
	write_file(BUNDLE, OWN, 0644);
	trust(ONE);
	/* As update-ca-certificates leaves it. */
	in_root(path, sizeof(path), STORE);
	entries = opendir(path);
	while ((entry = readdir(entries))) {
		if (entry->d_name[0] != '.')
			snprintf(name, sizeof(name), "%s", entry->d_name);
	}
	closedir(entries);
	write_file(BUNDLE, OWN PEM("MIIone"), 0644);
	in_root(path, sizeof(path), CERTS "/0a1b2c3d.0");
	assert_int_equal(unlink(path), 0);
	snprintf(pem, sizeof(pem), "%.*s.pem", (int)strlen(name) - 4, name);
	assert_int_equal(symlink(pem, path), 0);
	snprintf(path, sizeof(path), "%s/" CERTS "/%.22s.pem", root, name);
	snprintf(pem, sizeof(pem), "/" STORE "/%.200s", name);
	assert_int_equal(symlink(pem, path), 0);
	trust(ONE);
	expect_file(BUNDLE, OWN PEM("MIIone"));
	expect_link(CERTS "/0a1b2c3d.1", NULL);
	trust("");
	expect_file(BUNDLE, OWN);
	assert_int_equal(count(CERTS), 0);
	in_root(path, sizeof(path), CERTS "/0a1b2c3d.0");
	assert_int_equal(lstat(path, &(struct stat){0}), -1);
}

static void what_the_image_trusts_itself_stays(void **state)
{
	(void)state;
	make_folder(STORE);
	make_folder(CERTS);
	write_file(BUNDLE, OWN PEM("MIIone"), 0444);
	trust(ONE);
	assert_int_equal(count(STORE), 0);
	trust("");
	expect_file(BUNDLE, OWN PEM("MIIone"));
	trust(TWO);
	expect_file(BUNDLE, OWN PEM("MIIone") BLOCK(TWO));
	expect_mode(BUNDLE, 0444, 0, 0);
}

static void a_link_of_that_name_to_another_certificate_stays(void **state)
{
	char path[256];

	(void)state;
	make_folder(STORE);
	make_folder(CERTS);
	in_root(path, sizeof(path), CERTS "/0a1b2c3d.0");
	assert_int_equal(symlink("Another_CA.pem", path), 0);
	trust(ONE);
	expect_link(CERTS "/0a1b2c3d.1", PEM("MIIone"));
	trust("");
	expect_link(CERTS "/0a1b2c3d.1", NULL);
	assert_int_equal(lstat(path, &(struct stat){0}), 0);
}

static void each_layout_has_its_folder_and_files(void **state)
{
	static const struct {
		const char *folder, *bundle, *link, *target;
	} layouts[] = {
		{"etc/pki/ca-trust/source/anchors", "etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem",
		 "etc/pki/tls/certs/ca-bundle.crt", "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem"},
		{"etc/pki/trust/anchors", "var/lib/ca-certificates/ca-bundle.pem", "etc/ssl/ca-bundle.pem",
		 "/var/lib/ca-certificates/ca-bundle.pem"},
		{"etc/ca-certificates/trust-source/anchors", "etc/ca-certificates/extracted/tls-ca-bundle.pem",
		 "etc/ssl/cert.pem", "../ca-certificates/extracted/tls-ca-bundle.pem"},
		{"usr/local/share/ca-certificates", "etc/ssl/certs/ca-certificates.crt", "etc/ssl/cert.pem",
		 "certs/ca-certificates.crt"},
	};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(layouts); i++) {
		char path[256], parent[128];

		assert_int_equal(tear_down(state), 0);
		assert_int_equal(set_up(state), 0);
		make_folder(layouts[i].folder);
		snprintf(parent, sizeof(parent), "%.*s", (int)(path_name(layouts[i].bundle) - layouts[i].bundle - 1),
			 layouts[i].bundle);
		make_folder(parent);
		snprintf(parent, sizeof(parent), "%.*s", (int)(path_name(layouts[i].link) - layouts[i].link - 1),
			 layouts[i].link);
		make_folder(parent);
		write_file(layouts[i].bundle, OWN, 0444);
		in_root(path, sizeof(path), layouts[i].link);
		assert_int_equal(symlink(layouts[i].target, path), 0);
		trust(TWO);
		assert_int_equal(count(layouts[i].folder), 1);
		expect_file(layouts[i].bundle, OWN BLOCK(TWO));
		assert_int_equal(lstat(path, &(struct stat){0}), 0);
		trust("");
		assert_int_equal(count(layouts[i].folder), 0);
		expect_file(layouts[i].bundle, OWN);
	}
}

static void an_image_that_has_no_such_tool_yet_is_prepared_for_it(void **state)
{
	(void)state;
	write_file("etc/os-release", "NAME=x\nID=mine\nID_LIKE=\"more fedora\"\n", 0644);
	trust(ONE);
	assert_int_equal(count("etc/pki/ca-trust/source/anchors"), 1);
	write_file("etc/os-release", "ID=unknown\n", 0644);
	assert_int_equal(tear_down(state), 0);
	assert_int_equal(set_up(state), 0);
	trust(ONE);
	trust("");
}

static void files_of_the_owner_stay_and_what_is_no_certificate_is_left_out(void **state)
{
	(void)state;
	make_folder(STORE);
	make_folder(CERTS);
	write_file(BUNDLE, "text without an end", 0644);
	write_file(STORE "/annex-mine.crt", OWN, 0644);
	write_file(STORE "/annex-0123456789abcdef.crt", OWN, 0644);
	trust("# nothing\n# 0a1b2c3d cut\n-----BEGIN CERTIFICATE-----\nMII\n" ONE);
	trust("garbage" ONE "# 00000000 no end\n-----BEGIN CERTIFICATE-----\n");
	assert_int_equal(count(STORE), 2);
	expect_file(STORE "/annex-mine.crt", OWN);
	expect_file(BUNDLE, "text without an end\n" BLOCK(ONE));
	trust("");
	assert_int_equal(count(STORE), 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		IMAGE_TEST(on_debian_files_links_and_the_bundle_follow_the_host),
		IMAGE_TEST(what_the_images_tool_made_of_them_goes_too),
		IMAGE_TEST(what_the_image_trusts_itself_stays),
		IMAGE_TEST(a_link_of_that_name_to_another_certificate_stays),
		IMAGE_TEST(each_layout_has_its_folder_and_files),
		IMAGE_TEST(an_image_that_has_no_such_tool_yet_is_prepared_for_it),
		IMAGE_TEST(files_of_the_owner_stay_and_what_is_no_certificate_is_left_out),
	};

	if (geteuid() != 0) {
		printf("1..0 # SKIP an image's root folder can be entered by root only\n");
		return 0;
	}
	return cmocka_run_group_tests(tests, NULL, NULL);
}
