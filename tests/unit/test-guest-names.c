/* How a machine finds names, and what its own programs are told below /run, in a folder that stands for its root:
 * entering one needs root. */
#include "image-root.h"

#include "guest/dropin.h"
#include "guest/etcfile.h"
#include "guest/resolver.h"

static const char *const domains[] = {"corp.example.com", "example.com", NULL};
static const struct resolver standard = {.dns = "198.19.255.53", .domain = "annex.internal", .search = domains};

#define STANDARD ETCFILE_OURS "nameserver 198.19.255.53\nsearch annex.internal corp.example.com example.com\n"

static int write_resolver(void *data, struct text *out, struct annex_error **err)
{
	(void)out;
	return resolver_write(data, err);
}

static void resolve(const struct resolver *resolver)
{
	run(write_resolver, (void *)resolver);
}

static void expect_search(const char *domain, const char *const *search, const char *wanted)
{
	auto_text struct text made = {0};

	resolver_search(&made, &(struct resolver){.dns = "", .domain = domain, .search = search});
	assert_string_equal(made.data ? made.data : "", wanted);
}

static void the_search_list_has_what_there_is_room_for(void **state)
{
	char long_one[242], almost[260];
	const char *const many[] = {long_one, "b.example", "c", NULL};

	(void)state;
	expect_search("annex.internal", domains, "annex.internal corp.example.com example.com");
	expect_search("", NULL, "");
	expect_search("annex.internal", (const char *const[]){"annex.internal", ".", "a b", "x\ny", "", "c", NULL},
		      "annex.internal c");
	memset(long_one, 'a', sizeof(long_one) - 1);
	long_one[sizeof(long_one) - 1] = '\0';
	expect_search("annex.internal", many, "annex.internal b.example c");
	long_one[240] = '\0';
	snprintf(almost, sizeof(almost), "annex.internal %s", long_one);
	expect_search("annex.internal", many, almost);
}

static void the_resolver_is_ours_only_while_it_says_so(void **state)
{
	struct resolver other = standard;

	(void)state;
	resolve(&standard);
	expect_file("etc/resolv.conf", STANDARD);
	other.dns = "10.0.2.3, 1.1.1.1";
	other.search = NULL;
	resolve(&other);
	expect_file("etc/resolv.conf", ETCFILE_OURS "nameserver 10.0.2.3\nnameserver 1.1.1.1\nsearch annex.internal\n");
	write_file("etc/resolv.conf", "nameserver 9.9.9.9\n", 0644);
	resolve(&standard);
	expect_file("etc/resolv.conf", "nameserver 9.9.9.9\n");
	write_file("etc/resolv.conf", "\n", 0644);
	resolve(&standard);
	expect_file("etc/resolv.conf", STANDARD);
	other.dns = "";
	resolve(&other);
	expect_file("etc/resolv.conf", STANDARD);
}

static void a_link_stays_and_what_it_leads_to_is_written(void **state)
{
	static const char *const targets[] = {"/run/systemd/resolve/stub-resolv.conf",
					      "../run/systemd/resolve/stub-resolv.conf"};
	char path[256], target[256] = "";

	(void)state;
	for (size_t i = 0; i < COUNT_OF(targets); i++) {
		in_root(path, sizeof(path), "etc/resolv.conf");
		unlink(path);
		assert_int_equal(symlink(targets[i], path), 0);
		resolve(&standard);
		assert_int_equal(readlink(path, target, sizeof(target)), strlen(targets[i]));
		expect_file("run/systemd/resolve/stub-resolv.conf", STANDARD);
		in_root(path, sizeof(path), "run");
		assert_int_equal(file_remove_tree(AT_FDCWD, path), 0);
	}
	/* What its program has written there is that one's. */
	write_file("etc/of-another", "nameserver 127.0.0.53\n", 0644);
	in_root(path, sizeof(path), "etc/resolv.conf");
	assert_int_equal(unlink(path), 0);
	assert_int_equal(symlink("of-another", path), 0);
	resolve(&standard);
	expect_file("etc/of-another", "nameserver 127.0.0.53\n");
}

static void what_is_no_file_is_left_alone(void **state)
{
	auto_error struct annex_error *err = NULL;
	char path[256];

	(void)state;
	in_root(path, sizeof(path), "etc/resolv.conf");
	assert_int_equal(mkfifo(path, 0644), 0);
	assert_int_equal(inside_run(NULL, root, write_resolver, (void *)&standard, &err), -1);
	assert_string_equal(annex_error_message(err), "/etc/resolv.conf of the image is not a file");
}

static int write_dropins(void *data, struct text *out, struct annex_error **err)
{
	(void)out;
	(void)err;
	dropin_write(data);
	return 0;
}

static void drop_in(bool systemd, const char *interface, const char *const *proxies)
{
	struct dropin dropin = {.interface = interface, .systemd = systemd, .resolver = &standard, .proxies = proxies};

	run(write_dropins, &dropin);
}

static bool is_there(const char *name)
{
	char path[256];
	struct stat st;

	in_root(path, sizeof(path), name);
	return lstat(path, &st) == 0;
}

static const char *const no_proxies[] = {NULL};

static void programs_that_configure_interfaces_leave_ours_alone(void **state)
{
	(void)state;
	write_file("etc/resolv.conf", STANDARD, 0644);
	for (int i = 0; i < 2; i++)
		drop_in(true, "eth0", no_proxies);
	expect_file("run/systemd/network/00-annex.network", "[Match]\nName=eth0\n\n[Link]\nUnmanaged=yes\n");
	expect_file("run/NetworkManager/conf.d/annex.conf",
		    "[main]\ndns=none\nsystemd-resolved=false\n\n"
		    "[device-annex]\nmatch-device=interface-name:eth0\nmanaged=0\n");
	assert_true(is_there("run/systemd/system/systemd-networkd-wait-online.service"));
	assert_false(is_there("run/network/ifstate"));
	assert_false(is_there("run/systemd/resolved.conf.d"));
	assert_false(is_there("run/systemd/system.conf.d"));
}

static void without_an_interface_there_is_nothing_to_tell(void **state)
{
	(void)state;
	drop_in(true, "", no_proxies);
	assert_false(is_there("run/systemd/network"));
	assert_false(is_there("run/NetworkManager"));
}

static void other_inits_are_told_of_what_they_may_have(void **state)
{
	char path[256];

	(void)state;
	make_folder("etc/network");
	make_folder("etc/resolvconf");
	write_file("etc/network/interfaces", "auto eth0\niface eth0 inet dhcp\n", 0644);
	in_root(path, sizeof(path), "etc/resolv.conf");
	assert_int_equal(symlink("/run/resolvconf/resolv.conf", path), 0);
	drop_in(false, "eth0", (const char *const[]){"http_proxy=http://proxy:1", NULL});
	expect_file("run/network/ifstate", "eth0=eth0\n");
	expect_file("run/network/ifstate.eth0", "eth0\n");
	expect_file("run/ifstate", "eth0=eth0\n");
	expect_file("run/resolvconf/interface/eth0.annex", STANDARD);
	assert_false(is_there("run/systemd"));
}

static void resolved_has_the_server_where_it_keeps_the_file(void **state)
{
	char path[256];

	(void)state;
	in_root(path, sizeof(path), "etc/resolv.conf");
	assert_int_equal(symlink("/run/systemd/resolve/stub-resolv.conf", path), 0);
	drop_in(true, "eth0", no_proxies);
	expect_file("run/systemd/resolved.conf.d/annex.conf",
		    "[Resolve]\nDNS=198.19.255.53\nDomains=annex.internal corp.example.com example.com\n");
}

static const char *const proxies[] = {"http_proxy=http://a:p%40\"\\@proxy:1", "no_proxy=a, b", NULL};

static void systemd_has_the_proxies_for_all_services(void **state)
{
	(void)state;
	drop_in(true, "", proxies);
	expect_file("run/systemd/system.conf.d/annex.conf",
		    "[Manager]\nDefaultEnvironment=\"http_proxy=http://a:p%%40\\\"\\\\@proxy:1\"\n"
		    "DefaultEnvironment=\"no_proxy=a, b\"\n");
	expect_mode("run/systemd/system.conf.d/annex.conf", 0600, 0, 0);
	make_folder("usr/lib/systemd");
	write_file("usr/lib/systemd/libsystemd-shared-247.so", "", 0644);
	drop_in(true, "", proxies);
	expect_file("run/systemd/system.conf.d/annex.conf",
		    "[Manager]\nDefaultEnvironment=\"http_proxy=http://a:p%40\\\"\\\\@proxy:1\"\n"
		    "DefaultEnvironment=\"no_proxy=a, b\"\n");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_search_list_has_what_there_is_room_for),
		IMAGE_TEST(the_resolver_is_ours_only_while_it_says_so),
		IMAGE_TEST(a_link_stays_and_what_it_leads_to_is_written),
		IMAGE_TEST(what_is_no_file_is_left_alone),
		IMAGE_TEST(programs_that_configure_interfaces_leave_ours_alone),
		IMAGE_TEST(without_an_interface_there_is_nothing_to_tell),
		IMAGE_TEST(other_inits_are_told_of_what_they_may_have),
		IMAGE_TEST(resolved_has_the_server_where_it_keeps_the_file),
		IMAGE_TEST(systemd_has_the_proxies_for_all_services),
	};

	if (geteuid() != 0) {
		printf("1..0 # SKIP an image's root folder can be entered by root only\n");
		return 0;
	}
	return cmocka_run_group_tests(tests, NULL, NULL);
}
