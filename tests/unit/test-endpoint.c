#include "base/text.h"
#include "home.h"
#include "registry/endpoint.h"
#include "registry/registries.h"
#include "test.h"

static const char user_file[] = ".config/containers/registries.conf";
static const char digest[] = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

/* "domain path, …": mirrors in brackets, the insecure with !, those for digests only with @. */
static char *describe(const struct endpoint_list *list)
{
	auto_text struct text text = {0};

	for (size_t i = 0; i < list->count; i++) {
		const struct endpoint *at = &list->items[i];

		text_printf(&text, "%s%s%s %s%s%s%s", i ? ", " : "", at->is_mirror ? "(" : "", at->domain, at->path,
			    at->insecure ? "!" : "", at->digest_only ? "@" : "", at->is_mirror ? ")" : "");
	}
	return text_take(&text);
}

static void expect(const char *name, const char *described)
{
	auto_reference struct reference reference = {0};
	auto_endpoint_list struct endpoint_list list = {0};
	auto_error struct annex_error *err = NULL;
	auto_free char *found = NULL;

	assert_int_equal(reference_parse(&reference, name, NULL), 0);
	if (endpoint_find(&list, &reference, &err) < 0)
		assert_string_equal(annex_error_message(err), "");
	found = describe(&list);
	assert_string_equal(found, described);
}

static void expect_failure(const char *name, enum annex_error_kind kind, const char *message)
{
	auto_reference struct reference reference = {0};
	auto_endpoint_list struct endpoint_list list = {0};
	auto_error struct annex_error *err = NULL;

	assert_int_equal(reference_parse(&reference, name, NULL), 0);
	assert_int_equal(endpoint_find(&list, &reference, &err), -1);
	assert_int_equal(annex_error_kind(err), kind);
	if (!strstr(annex_error_message(err), message))
		assert_string_equal(annex_error_message(err), message);
	assert_int_equal(list.count, 0);
}

static void without_a_configuration_an_image_comes_from_its_registry(void **state)
{
	(void)state;
	expect("debian:12", "registry-1.docker.io library/debian");
	expect("ghcr.io/org/name", "ghcr.io org/name");
	expect("[::1]:5000/a/b:c", "[::1]:5000 a/b");
}

static void what_is_configured_for_the_longest_prefix_counts(void **state)
{
	(void)state;
	home_write(user_file,
		   "unqualified-search-registries = [\"quay.io\"]\nshort-name-mode = \"enforcing\"\n"
		   "[aliases]\ndebian = \"quay.io/debian\"\n"
		   "[[registry]]\nlocation = \"a.io\"\ninsecure = true\n"
		   "[[registry]]\nprefix = \"a.io/org\"\nlocation = \"b.io:5000/x/\"\n"
		   "[[registry]]\nprefix = \"a.io/org/one:2\"\nlocation = \"c.io/one\"\n",
		   0600);
	expect("debian", "registry-1.docker.io library/debian");
	expect("a.io/name", "a.io name!");
	expect("a.io:5000/name", "a.io:5000 name!");
	expect("a.io/organisation/name", "a.io organisation/name!");
	expect("a.io/org/name", "b.io:5000 x/name");
	expect("a.io/org/one:1", "b.io:5000 x/one");
	expect("a.io/org/one:2", "c.io one");
	expect("aa.io/name", "aa.io name");
}

static void subdomains_can_be_left_open(void **state)
{
	(void)state;
	home_write(user_file,
		   "[[registry]]\nprefix = \"*.example.com\"\ninsecure = true\n"
		   "[[registry]]\nprefix = \"*.b.example.com\"\nlocation = \"c.io/x\"\n",
		   0600);
	expect("a.example.com/name", "a.example.com name!");
	expect("a.example.com:5000/name", "a.example.com:5000 name!");
	expect("a.b.example.com/name", "c.io x/name");
	expect("example.com/name", "example.com name");
	expect("aexample.com/name", "aexample.com name");
	expect("x.io/a.example.com/name", "x.io a.example.com/name");
}

static void mirrors_come_first(void **state)
{
	auto_free char *by_digest = NULL;

	(void)state;
	home_write(user_file,
		   "[[registry]]\nlocation = \"docker.io\"\n"
		   "[[registry.mirror]]\nlocation = \"localhost:5000/hub\"\ninsecure = true\n"
		   "[[registry.mirror]]\nlocation = \"d.io\"\npull-from-mirror = \"digest-only\"\n"
		   "[[registry.mirror]]\nlocation = \"t.io\"\npull-from-mirror = \"tag-only\"\n"
		   "[[registry]]\nlocation = \"a.io\"\nmirror-by-digest-only = true\n"
		   "[[registry.mirror]]\nlocation = \"docker.io/mirrored\"\n",
		   0600);
	assert_true(asprintf(&by_digest, "debian@%s", digest) > 0);
	expect("debian", "(localhost:5000 hub/library/debian!), (d.io library/debian@), (t.io library/debian), "
			 "registry-1.docker.io library/debian");
	expect(by_digest, "(localhost:5000 hub/library/debian!), (d.io library/debian@), "
			  "registry-1.docker.io library/debian");
	expect("a.io/b", "(registry-1.docker.io mirrored/b@), a.io b");
}

static void a_blocked_registry_is_refused_by_name_of_the_file(void **state)
{
	(void)state;
	home_write(user_file,
		   "[[registry]]\nlocation = \"a.io\"\nblocked = true\n[[registry]]\nlocation = \"a.io/b\"\n", 0600);
	expect_failure("a.io/x", ANNEX_ERROR_UNSUPPORTED, "registry a.io is blocked by");
	expect_failure("a.io/x", ANNEX_ERROR_UNSUPPORTED, user_file);
	expect("a.io/b/x", "a.io b/x");
}

static void later_files_replace_what_earlier_ones_said_of_a_prefix(void **state)
{
	(void)state;
	home_write(user_file, "[[registry]]\nlocation = \"a.io\"\nblocked = true\n[[registry]]\nlocation = \"b.io\"\n",
		   0600);
	home_write(".config/containers/registries.conf.d/20.conf",
		   "[[registry]]\nprefix = \"a.io\"\nlocation = \"second.io\"\n", 0600);
	home_write(".config/containers/registries.conf.d/10.conf",
		   "[[registry]]\nprefix = \"a.io\"\nlocation = \"first.io\"\n", 0600);
	home_write(".config/containers/registries.conf.d/30.conf.old", "what is this", 0600);
	expect("a.io/x", "second.io x");
	home_write("other.conf", "[[registry]]\nprefix = \"b.io\"\nlocation = \"other.io\"\n", 0600);
	setenv("CONTAINERS_REGISTRIES_CONF", home_path("other.conf"), 1);
	expect("b.io/x", "other.io x");
	expect("a.io/x", "second.io x");
	setenv("CONTAINERS_REGISTRIES_CONF", home_path("none.conf"), 1);
	expect_failure("b.io/x", ANNEX_ERROR_NOT_FOUND, "none.conf");
}

static void the_first_version_of_the_format_is_read(void **state)
{
	(void)state;
	home_write(user_file,
		   "[registries.search]\nregistries = ['docker.io']\n[registries.insecure]\nregistries = ['a.io:5000', "
		   "'b.io']\n[registries.block]\nregistries = ['c.io']\n",
		   0600);
	expect("a.io:5000/x", "a.io:5000 x!");
	expect_failure("c.io/x", ANNEX_ERROR_UNSUPPORTED, "registry c.io is blocked");
}

static void a_damaged_file_is_named(void **state)
{
	static const struct {
		const char *text, *message;
	} cases[] = {
		{"[[registry]]\nlocation =", "line 2: a value is missing"},
		{"registry = 1", "registry is not an array of tables"},
		{"[[registry]]\ninsecure = true", "neither prefix nor location"},
		{"[[registry]]\nlocation = ''", "a location is empty"},
		{"[[registry]]\nlocation = 1", "location: not a text"},
		{"[[registry]]\nlocation = 'a.io'\nblocked = 'yes'", "blocked: not true or false"},
		{"[[registry]]\nlocation = 'https://a.io'", "leave out the part up to ://"},
		{"[[registry]]\nprefix = 'a.*'", "only whole sub-domains"},
		{"[[registry]]\nprefix = '*.'", "only whole sub-domains"},
		{"[[registry]]\nlocation = 'a.io'\nmirror = 1", "mirrors are not a list"},
		{"[[registry]]\nlocation = 'a.io'\n[[registry.mirror]]", "location is missing"},
		{"[[registry]]\nlocation = 'a.io'\n[[registry.mirror]]\nlocation='b.io'\npull-from-mirror='x'",
		 "pull-from-mirror can't be 'x'"},
		{"[[registry]]\nprefix = 'a.io'\nlocation = 'nohost'", "would be no image of a registry"},
		{"[[registry]]\nprefix = 'a.io/x'\nlocation = 'b.io'", "would be no image of a registry"},
		{"[[registry]]\nprefix = 'a.io'\nlocation = 'b.io/Upper'", "would be no image of a registry"},
		{"[registries.block]\nregistries = 1", "is not a list"},
		{"[registries.block]\nregistries = [1]", "location: not a text"},
	};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		home_write(user_file, cases[i].text, 0600);
		expect_failure("a.io/x", ANNEX_ERROR_CORRUPT, cases[i].message);
		expect_failure("a.io/x", ANNEX_ERROR_CORRUPT, user_file);
	}
}

static void registries_and_mirrors_are_limited(void **state)
{
	auto_text struct text text = {0};
	auto_registries struct registries registries = {0};
	auto_error struct annex_error *err = NULL;

	(void)state;
	text_add(&text, "[[registry]]\nlocation = 'a.io'\n");
	for (unsigned i = 0; i <= REGISTRIES_MIRROR_LIMIT; i++)
		text_add(&text, "[[registry.mirror]]\nlocation = 'b.io'\n");
	assert_int_equal(registries_add(&registries, text.data, text.size, "x.conf", &err), -1);
	assert_string_equal(annex_error_message(err), "x.conf: mirrors are not a list of at most 32");
	text_clear(&text);
	for (unsigned i = 0; i <= REGISTRIES_ENTRY_LIMIT; i++)
		text_printf(&text, "[[registry]]\nlocation = 'a%u.io'\n", i);
	annex_error_free(TAKE(err));
	assert_int_equal(registries_add(&registries, text.data, text.size, "x.conf", &err), -1);
	assert_string_equal(annex_error_message(err), "x.conf: more than 1024 registries");
}

static void loopback_is_this_host_itself(void **state)
{
	static const char *const yes[] = {"localhost", "localhost:5000", "LOCALHOST:5000", "a.localhost:1",
					  "127.0.0.1", "127.88.1.2:80",  "[::1]",          "[::1]:5000"};
	static const char *const no[] = {"localhost.example.com",
					 "notlocalhost",
					 ".localhost",
					 "128.0.0.1",
					 "127.0.0.1.nip.io",
					 "1270.0.0.1",
					 "[::2]:5000",
					 "[fe80::1]",
					 "docker.io",
					 "10.0.0.1:5000"};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(yes); i++)
		assert_true(endpoint_is_loopback(yes[i]));
	for (size_t i = 0; i < COUNT_OF(no); i++)
		assert_false(endpoint_is_loopback(no[i]));
}

static void dockers_registry_goes_by_its_name_in_images(void **state)
{
	(void)state;
	assert_string_equal(endpoint_name("registry-1.docker.io"), "docker.io");
	assert_string_equal(endpoint_name(endpoint_host("docker.io")), "docker.io");
	assert_string_equal(endpoint_name("a.io:5000"), "a.io:5000");
}

#define TEST(name) cmocka_unit_test_setup(name, home_set_up)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(without_a_configuration_an_image_comes_from_its_registry),
		TEST(what_is_configured_for_the_longest_prefix_counts),
		TEST(subdomains_can_be_left_open),
		TEST(mirrors_come_first),
		TEST(a_blocked_registry_is_refused_by_name_of_the_file),
		TEST(later_files_replace_what_earlier_ones_said_of_a_prefix),
		TEST(the_first_version_of_the_format_is_read),
		TEST(a_damaged_file_is_named),
		TEST(registries_and_mirrors_are_limited),
		TEST(loopback_is_this_host_itself),
		TEST(dockers_registry_goes_by_its_name_in_images),
	};

	return cmocka_run_group_tests(tests, folder_set_up, folder_tear_down);
}
