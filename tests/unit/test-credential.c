#include "base/text.h"
#include "home.h"
#include "registry/credential.h"
#include "test.h"

#include <sys/wait.h>

#define ANNA "YW5uYTpzZWNyZXQ=" /* anna:secret */
#define BERT "YmVydDp4Onk="     /* bert:x:y */

static const char runtime[] = "run/containers/auth.json", config[] = ".config/containers/auth.json",
		  docker[] = ".docker/config.json";

static void expect(const char *domain, const char *path, const char *username, const char *password)
{
	auto_credential struct credential found = {0};
	auto_error struct annex_error *err = NULL;

	if (credential_find(&found, domain, path, NULL, &err) < 0)
		assert_string_equal(annex_error_message(err), "");
	if (!username)
		assert_true(credential_is_empty(&found));
	else
		assert_string_equal(found.username ? found.username : "nobody", username);
	if (password)
		assert_string_equal(found.password, password);
}

static void expect_failure(const char *domain, enum annex_error_kind kind, const char *message)
{
	auto_credential struct credential found = {0};
	auto_error struct annex_error *err = NULL;

	assert_int_equal(credential_find(&found, domain, NULL, NULL, &err), -1);
	assert_int_equal(annex_error_kind(err), kind);
	if (!strstr(annex_error_message(err), message))
		assert_string_equal(annex_error_message(err), message);
	assert_true(kind == ANNEX_ERROR_CANCELLED || annex_error_hint(err));
	assert_null(strstr(annex_error_message(err), "secret"));
	assert_true(credential_is_empty(&found));
}

static void store(const char *domain, const char *username, const char *password, const char *where)
{
	struct credential credential = {(char *)username, (char *)password, NULL};
	auto_error struct annex_error *err = NULL;
	auto_free char *told = NULL;

	if (credential_store(&told, domain, &credential, &err) < 0)
		assert_string_equal(annex_error_message(err), "");
	assert_string_equal(told, text_starts(where, "docker-credential-") ? where : home_path(where));
}

static void expect_text(const char *name, const char *text)
{
	auto_free char *found = home_read(name);

	assert_non_null(found);
	assert_string_equal(found, text);
}

/* A helper of which each verb is a line of shell. */
static void write_helper(const char *name, const char *get, const char *set, const char *erase)
{
	auto_free char *path = NULL, *text = NULL, *search = NULL;

	assert_true(asprintf(&path, "bin/docker-credential-%s", name) > 0);
	assert_true(asprintf(&text, "#!/bin/sh\ncd '%s'\ncase $1 in\nget) %s ;;\nstore) %s ;;\nerase) %s ;;\nesac\n",
			     folder, get, set, erase) > 0);
	home_write(path, text, 0700);
	assert_true(asprintf(&search, "%s:/usr/bin:/bin", home_path("bin")) > 0);
	setenv("PATH", search, 1);
}

/* One that keeps what it is given in a file. */
static void write_keeper(void)
{
	write_helper("keeper",
		     "read -r server; if [ -f kept ] && grep -q \"\\\"$server\\\"\" kept; then cat kept; "
		     "else echo 'credentials not found in native keychain'; exit 1; fi",
		     "cat >kept", "rm kept");
}

static void there_may_be_none(void **state)
{
	(void)state;
	expect("ghcr.io", "a/b", NULL, NULL);
	home_write(docker, "", 0600);
	home_write(config, "{}\n", 0600);
	expect("ghcr.io", "a/b", NULL, NULL);
	home_write(docker, "{\"auths\": {\"ghcr.io\": {}, \"quay.io\": {\"auth\": \"" ANNA "\"}}}", 0600);
	expect("ghcr.io", "a/b", NULL, NULL);
}

static void files_are_searched_in_their_order(void **state)
{
	(void)state;
	home_write(docker, "{\"auths\": {\"ghcr.io\": {\"auth\": \"ZDpk\"}, \"d.io\": {\"auth\": \"ZDpk\"}}}", 0600);
	expect("ghcr.io", NULL, "d", "d");
	home_write(config, "{\"auths\": {\"ghcr.io\": {\"auth\": \"" BERT "\"}}}", 0600);
	expect("ghcr.io", NULL, "bert", "x:y");
	home_write(runtime, "{\"auths\": {\"ghcr.io\": {\"auth\": \"" ANNA "\"}}}", 0600);
	expect("ghcr.io", NULL, "anna", "secret");
	expect("d.io", NULL, "d", "d");
}

static void variables_lead_to_other_files(void **state)
{
	(void)state;
	home_write("a/config.json", "{\"auths\": {\"ghcr.io\": {\"auth\": \"" ANNA "\"}}}", 0600);
	home_write("b/containers/auth.json", "{\"auths\": {\"ghcr.io\": {\"auth\": \"" BERT "\"}}}", 0600);
	setenv("DOCKER_CONFIG", home_path("a"), 1);
	expect("ghcr.io", NULL, "anna", NULL);
	setenv("XDG_CONFIG_HOME", home_path("b"), 1);
	expect("ghcr.io", NULL, "bert", NULL);
	setenv("REGISTRY_AUTH_FILE", home_path("none.json"), 1);
	expect("ghcr.io", NULL, NULL, NULL);
	setenv("REGISTRY_AUTH_FILE", home_path("a/config.json"), 1);
	expect("ghcr.io", NULL, "anna", NULL);
}

static void keys_may_be_spelled_in_many_ways(void **state)
{
	static const struct {
		const char *key, *domain;
	} cases[] = {
		{"ghcr.io", "ghcr.io"},
		{"https://ghcr.io", "ghcr.io"},
		{"http://ghcr.io/", "ghcr.io"},
		{"https://ghcr.io/v2/", "ghcr.io"},
		{"localhost:5000", "localhost:5000"},
		{"https://[::1]:5000/v1/", "[::1]:5000"},
		{"docker.io", "docker.io"},
		{"index.docker.io", "docker.io"},
		{"index.docker.io/v1/", "docker.io"},
		{"https://index.docker.io/v1/", "docker.io"},
		{"https://registry-1.docker.io", "docker.io"},
	};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		auto_free char *text = NULL;

		assert_true(asprintf(&text, "{\"auths\": {\"%s\": {\"auth\": \"" ANNA "\"}}}", cases[i].key) > 0);
		home_write(docker, text, 0600);
		expect(cases[i].domain, "library/debian", "anna", "secret");
		expect("ghcr.io:5000", "library/debian", NULL, NULL);
		expect("hcr.io", "library/debian", NULL, NULL);
	}
}

static void what_others_keep_to_themselves_is_not_searched(void **state)
{
	(void)state;
	if (geteuid() == 0)
		return; /* nothing is kept from root; and TAP's readers take a skipped test for a failed one */
	home_write(docker, "{\"auths\": {\"a.io\": {\"auth\": \"" ANNA "\"}}}", 0000);
	expect_failure("a.io", ANNEX_ERROR_SYSTEM, "cannot read");
	assert_int_equal(chmod(home_path(".docker"), 0), 0);
	expect("a.io", NULL, NULL, NULL);
	assert_int_equal(chmod(home_path(".docker"), 0700), 0);
}

static void the_longest_key_wins(void **state)
{
	(void)state;
	home_write(config,
		   "{\"auths\": {\"https://quay.io\": {\"auth\": \"ZTpl\"}, \"quay.io/org/app\": {\"auth\": \"" ANNA
		   "\"}, \"quay.io\": {\"auth\": \"ZDpk\"}, \"quay.io/org\": {\"auth\": \"" BERT "\"}}}",
		   0600);
	expect("quay.io", "org/app", "anna", NULL);
	expect("quay.io", "org/app/part", "anna", NULL);
	expect("quay.io", "org/application", "bert", NULL);
	expect("quay.io", "organisation/app", "d", NULL);
	expect("quay.io", NULL, "d", NULL);
}

static void tokens_and_plain_fields_are_read(void **state)
{
	auto_credential struct credential found = {0};

	(void)state;
	home_write(docker,
		   "{\"auths\": {\"a.io\": {\"auth\": \"MDAwOg==\", \"identitytoken\": \"tok\"},"
		   "\"b.io\": {\"username\": \"u\", \"password\": \"p\"}, \"c.io\": {\"auth\": \"dTpwAAAA\"}}}",
		   0600);
	assert_int_equal(credential_find(&found, "a.io", NULL, NULL, NULL), 0);
	assert_string_equal(found.identity_token, "tok");
	assert_null(found.username);
	expect("b.io", NULL, "u", "p");
	expect("c.io", NULL, "u", "p");
}

static void a_damaged_file_is_named_and_nothing_of_it_quoted(void **state)
{
	static const struct {
		const char *text, *message;
	} cases[] = {
		{"{\"auths\": secret", "not JSON, in line 1"},
		{"[]", "not a JSON object"},
		{"{\"auths\": [\"secret\"]}", "auths is not an object"},
		{"{\"credHelpers\": \"secret\"}", "credHelpers is not an object"},
		{"{\"auths\": {\"a.io\": {\"auth\": \"secret\"}}}", "not a user name and a password in base64"},
		{"{\"auths\": {\"a.io\": {\"auth\": \"c2VjcmV0\"}}}", "not a user name and a password in base64"},
		{"{\"auths\": {\"a.io\": {\"auth\": \"c2U6AGNyZXQ=\"}}}", "not a user name and a password in base64"},
		{"{\"auths\": {\"a.io\": {\"username\": \"a:b\", \"password\": \"secret\"}}}",
		 "a user name in it has a colon"},
		{"{\"credsStore\": \"../secret\"}", "can't be one"},
		{"{\"credHelpers\": {\"a.io\": \"/bin/secret\"}}", "can't be one"},
	};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		home_write(docker, cases[i].text, 0600);
		expect_failure("a.io", ANNEX_ERROR_CORRUPT, cases[i].message);
		expect_failure("a.io", ANNEX_ERROR_CORRUPT, docker);
	}
}

static void files_and_entries_are_limited(void **state)
{
	auto_text struct text text = {0};

	(void)state;
	text_add(&text, "{\"auths\": {\"a.io\": {}");
	for (int i = 0; i < 1024; i++)
		text_printf(&text, ", \"a%d.io\": {}", i);
	text_add(&text, "}}");
	home_write(docker, text.data, 0600);
	expect_failure("a.io", ANNEX_ERROR_CORRUPT, "at most 1024 entries");
	while (text.size <= 1 << 20)
		text_add(&text, "                                                                ");
	home_write(docker, text.data, 0600);
	expect_failure("a.io", ANNEX_ERROR_CORRUPT, "larger than 1 MiB");
}

static void helpers_are_asked(void **state)
{
	auto_credential struct credential found = {0};

	(void)state;
	write_helper("one", "read -r s; echo \"{\\\"Username\\\": \\\"one\\\", \\\"Secret\\\": \\\"$s\\\"}\"", "", "");
	write_helper("all", "echo '{\"ServerURL\": \"x\", \"Username\": \"<token>\", \"Secret\": \"tok\"}'", "", "");
	home_write(docker,
		   "{\"auths\": {\"a.io\": {\"auth\": \"" ANNA "\"}}, \"credHelpers\": {\"a.io\": \"one\", "
		   "\"https://index.docker.io/v1/\": \"one\"}, \"credsStore\": \"all\"}",
		   0600);
	expect("a.io", "x/y", "one", "a.io");
	expect("docker.io", "library/debian", "one", "https://index.docker.io/v1/");
	assert_int_equal(credential_find(&found, "b.io", NULL, NULL, NULL), 0);
	assert_string_equal(found.identity_token, "tok");
	assert_null(found.username);
}

static void a_helper_without_leaves_it_to_the_files(void **state)
{
	(void)state;
	write_keeper();
	home_write(config, "{\"credHelpers\": {\"a.io\": \"keeper\"}}", 0600);
	home_write(docker, "{\"credsStore\": \"keeper\", \"auths\": {\"a.io\": {\"auth\": \"" ANNA "\"}}}", 0600);
	expect("a.io", NULL, "anna", NULL);
	expect("b.io", NULL, NULL, NULL);
}

static void helpers_that_fail_are_errors(void **state)
{
	static const struct {
		const char *get, *message;
		enum annex_error_kind kind;
	} cases[] = {
		{"echo locked; exit 1", "docker-credential-bad failed: locked", ANNEX_ERROR_SYSTEM},
		{"echo 'no bus' >&2; exit 3", "docker-credential-bad failed: no bus", ANNEX_ERROR_SYSTEM},
		{"exit 3", "failed with status 3", ANNEX_ERROR_SYSTEM},
		{"kill -9 $$", "ended by signal 9", ANNEX_ERROR_SYSTEM},
		{"kill -INT $$", "was interrupted", ANNEX_ERROR_CANCELLED},
		{"echo secret", "its answer is not JSON", ANNEX_ERROR_CORRUPT},
		{":", "its answer is not JSON", ANNEX_ERROR_CORRUPT},
		{"echo '{\"Username\": \"secret\"}'", "Secret is missing", ANNEX_ERROR_CORRUPT},
		{"echo '{\"Username\": 1, \"Secret\": \"secret\"}'", "Username: not a text", ANNEX_ERROR_CORRUPT},
		{"yes secret", "says more than 64 KiB", ANNEX_ERROR_CORRUPT},
		{"yes secret >&2", "says more than 64 KiB", ANNEX_ERROR_CORRUPT},
		{"printf 'a\\033[2Jb\\n'; exit 1", "failed: a?[2Jb", ANNEX_ERROR_SYSTEM},
	};

	(void)state;
	home_write(docker, "{\"credsStore\": \"bad\"}", 0600);
	expect_failure("a.io", ANNEX_ERROR_SYSTEM, "docker-credential-bad is not installed");
	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		write_helper("bad", cases[i].get, "", "");
		expect_failure("a.io", cases[i].kind, cases[i].message);
	}
}

static void a_helper_that_hangs_is_ended(void **state)
{
	(void)state;
	home_write(docker, "{\"credsStore\": \"slow\"}", 0600);
	write_helper("slow", "exec sleep 1000", "", "");
	setenv("ANNEX_TIMEOUT_SCALE", "0.003", 1);
	expect_failure("a.io", ANNEX_ERROR_TIMEOUT, "docker-credential-slow did not answer");
	unsetenv("ANNEX_TIMEOUT_SCALE");
}

static void a_helper_may_leave_a_daemon_behind(void **state)
{
	(void)state;
	home_write(docker, "{\"credsStore\": \"daemon\"}", 0600);
	write_helper("daemon", "sleep 5 & echo '{\"Username\": \"u\", \"Secret\": \"p\"}'", "", "");
	setenv("ANNEX_TIMEOUT_SCALE", "0.03", 1);
	expect("a.io", NULL, "u", "p");
	unsetenv("ANNEX_TIMEOUT_SCALE");
}

static void the_first_login_makes_the_users_own_file(void **state)
{
	struct stat st;

	(void)state;
	store("ghcr.io", "anna", "secret", config);
	expect("ghcr.io", "a/b", "anna", "secret");
	store("docker.io", "bert", "x:y", config);
	expect_text(config, "{\n  \"auths\": {\n    \"ghcr.io\": {\n      \"auth\": \"" ANNA "\"\n    },\n"
			    "    \"docker.io\": {\n      \"auth\": \"" BERT "\"\n    }\n  }\n}\n");
	assert_int_equal(stat(home_path(config), &st), 0);
	assert_int_equal(st.st_mode & 07777, 0600);
}

static void dockers_file_is_taken_when_it_is_there(void **state)
{
	struct stat st;

	(void)state;
	home_write(docker,
		   "{\n\t\"psFormat\": \"x/y\",\n\t\"auths\": {\"https://ghcr.io/v2/\": {\"auth\": \"" ANNA
		   "\"}, \"z.io\": {}},\n\t\"HttpHeaders\": {\"b\": 1.5, \"a\": [null, \"\xc3\xa4\"]}\n}",
		   0644);
	store("docker.io", "anna", "secret", docker);
	store("ghcr.io", "bert", "x:y", docker);
	expect_text(docker, "{\n  \"psFormat\": \"x/y\",\n  \"auths\": {\n    \"z.io\": {},\n"
			    "    \"https://index.docker.io/v1/\": {\n      \"auth\": \"" ANNA "\"\n    },\n"
			    "    \"ghcr.io\": {\n      \"auth\": \"" BERT "\"\n    }\n  },\n"
			    "  \"HttpHeaders\": {\n    \"b\": 1.5,\n    \"a\": [\n      null,\n      \"\xc3\xa4\"\n    "
			    "]\n  }\n}\n");
	assert_int_equal(stat(home_path(docker), &st), 0);
	assert_int_equal(st.st_mode & 07777, 0600);
}

static void a_login_replaces_what_would_be_found_before_it(void **state)
{
	(void)state;
	home_write(docker, "{}", 0600);
	home_write(runtime, "{\"auths\": {\"a.io\": {\"auth\": \"" ANNA "\"}}}", 0600);
	store("a.io", "new", "one", runtime);
	expect("a.io", NULL, "new", "one");
	store("b.io", "new", "two", docker);
	setenv("REGISTRY_AUTH_FILE", home_path("mine.json"), 1);
	store("a.io", "new", "three", "mine.json");
	expect("a.io", NULL, "new", "three");
}

static void a_link_stays_a_link(void **state)
{
	struct stat st;

	(void)state;
	home_write("dotfiles/config.json", "{\"a\": 1}", 0600);
	home_write(".docker/other", "", 0600);
	assert_int_equal(symlink("../dotfiles/config.json", home_path(docker)), 0);
	store("a.io", "anna", "secret", docker);
	assert_int_equal(lstat(home_path(docker), &st), 0);
	assert_true(S_ISLNK(st.st_mode));
	expect_text("dotfiles/config.json",
		    "{\n  \"a\": 1,\n  \"auths\": {\n    \"a.io\": {\n      \"auth\": \"" ANNA "\"\n    }\n  }\n}\n");
}

static void logins_at_once_lose_nothing(void **state)
{
	enum { PROCESSES = 8, EACH = 5 };
	pid_t pids[PROCESSES];

	(void)state;
	for (int i = 0; i < PROCESSES; i++) {
		pids[i] = fork();
		assert_true(pids[i] >= 0);
		for (int j = 0; pids[i] == 0 && j < EACH; j++) {
			struct credential credential = {(char *)"u", (char *)"p", NULL};
			auto_free char *where = NULL;
			char domain[32];

			snprintf(domain, sizeof(domain), "r%d-%d.io", i, j);
			if (credential_store(&where, domain, &credential, NULL) < 0)
				_exit(1);
		}
		if (pids[i] == 0)
			_exit(0);
	}
	for (int i = 0; i < PROCESSES; i++) {
		int status = -1;

		assert_int_equal(waitpid(pids[i], &status, 0), pids[i]);
		assert_int_equal(status, 0);
	}
	for (int i = 0; i < PROCESSES * EACH; i++) {
		char domain[32];

		snprintf(domain, sizeof(domain), "r%d-%d.io", i / EACH, i % EACH);
		expect(domain, NULL, "u", "p");
	}
}

static void a_helper_keeps_what_it_is_configured_for(void **state)
{
	(void)state;
	write_keeper();
	home_write(docker, "{\"auths\": {\"a.io\": {\"auth\": \"" BERT "\"}}, \"credsStore\": \"keeper\"}", 0600);
	store("a.io", "anna", "secret", "docker-credential-keeper");
	expect_text("kept", "{\"ServerURL\":\"a.io\",\"Username\":\"anna\",\"Secret\":\"secret\"}");
	expect_text(docker, "{\n  \"auths\": {\n    \"a.io\": {}\n  },\n  \"credsStore\": \"keeper\"\n}\n");
	expect("a.io", NULL, "anna", "secret");
	assert_int_equal(credential_erase("a.io", NULL), 0);
	assert_false(file_exists(AT_FDCWD, home_path("kept")));
	expect_text(docker, "{\n  \"auths\": {},\n  \"credsStore\": \"keeper\"\n}\n");
	expect("a.io", NULL, NULL, NULL);
}

static void a_helper_that_can_not_store_changes_nothing(void **state)
{
	static const char before[] = "{\"auths\": {\"a.io\": {\"auth\": \"" BERT "\"}}, \"credsStore\": \"keeper\"}";
	struct credential credential = {(char *)"anna", (char *)"secret", NULL};
	auto_error struct annex_error *err = NULL;
	auto_free char *where = NULL;

	(void)state;
	write_helper("keeper", "", "cat; exit 1", "");
	home_write(docker, before, 0600);
	assert_int_equal(credential_store(&where, "a.io", &credential, &err), -1);
	assert_string_equal(annex_error_message(err),
			    "credentials for a.io: docker-credential-keeper failed with status 1");
	expect_text(docker, before);
}

static void a_logout_takes_them_from_everywhere(void **state)
{
	static const char with[] = "{\"auths\": {\"a.io\": {\"auth\": \"" ANNA "\"}, \"a.io/b\": {\"auth\": \"" BERT
				   "\"}, \"https://a.io/v1/\": {\"auth\": \"" ANNA "\"}}}";
	static const char without[] =
		"{\n  \"auths\": {\n    \"a.io/b\": {\n      \"auth\": \"" BERT "\"\n    }\n  }\n}\n";
	auto_error struct annex_error *err = NULL;

	(void)state;
	home_write(runtime, with, 0600);
	home_write(docker, with, 0600);
	assert_int_equal(credential_erase("a.io", NULL), 0);
	expect_text(runtime, without);
	expect_text(docker, without);
	assert_false(file_exists(AT_FDCWD, home_path(config)));
	expect("a.io", NULL, NULL, NULL);
	expect("a.io", "b/c", "bert", NULL);
	assert_int_equal(credential_erase("a.io", &err), -1);
	assert_int_equal(annex_error_kind(err), ANNEX_ERROR_NOT_FOUND);
}

static void identity_tokens_are_kept(void **state)
{
	struct credential credential = {NULL, NULL, (char *)"tok"};
	auto_credential struct credential found = {0};
	auto_free char *where = NULL;

	(void)state;
	assert_int_equal(credential_store(&where, "a.io", &credential, NULL), 0);
	assert_int_equal(credential_find(&found, "a.io", NULL, NULL, NULL), 0);
	assert_string_equal(found.identity_token, "tok");
}

static void a_user_name_with_a_colon_can_not_be_kept(void **state)
{
	struct credential credential = {(char *)"a:b", (char *)"secret", NULL};
	auto_error struct annex_error *err = NULL;
	auto_free char *where = NULL;

	(void)state;
	assert_int_equal(credential_store(&where, "a.io", &credential, &err), -1);
	assert_int_equal(annex_error_kind(err), ANNEX_ERROR_USAGE);
}

#define TEST(name) cmocka_unit_test_setup(name, home_set_up)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(there_may_be_none),
		TEST(files_are_searched_in_their_order),
		TEST(variables_lead_to_other_files),
		TEST(keys_may_be_spelled_in_many_ways),
		TEST(what_others_keep_to_themselves_is_not_searched),
		TEST(the_longest_key_wins),
		TEST(tokens_and_plain_fields_are_read),
		TEST(a_damaged_file_is_named_and_nothing_of_it_quoted),
		TEST(files_and_entries_are_limited),
		TEST(helpers_are_asked),
		TEST(a_helper_without_leaves_it_to_the_files),
		TEST(helpers_that_fail_are_errors),
		TEST(a_helper_that_hangs_is_ended),
		TEST(a_helper_may_leave_a_daemon_behind),
		TEST(the_first_login_makes_the_users_own_file),
		TEST(dockers_file_is_taken_when_it_is_there),
		TEST(a_login_replaces_what_would_be_found_before_it),
		TEST(a_link_stays_a_link),
		TEST(logins_at_once_lose_nothing),
		TEST(a_helper_keeps_what_it_is_configured_for),
		TEST(a_helper_that_can_not_store_changes_nothing),
		TEST(a_logout_takes_them_from_everywhere),
		TEST(identity_tokens_are_kept),
		TEST(a_user_name_with_a_colon_can_not_be_kept),
	};

	return cmocka_run_group_tests(tests, folder_set_up, folder_tear_down);
}
