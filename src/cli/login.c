/* annex image login, annex image logout. */
#include "base/file.h"
#include "base/text.h"
#include "cli/ask.h"
#include "cli/images.h"

#include <stdio.h>
#include <string.h>

#define PASSWORD_LIMIT 65536 /* bytes on standard input; tokens can be long */

static const char default_registry[] = "docker.io";

struct login_options {
	const char *registry;
	const char *username;
	const char *password;
	bool password_stdin;
	const char *scheme;
};

static const struct option login_options[] = {
	{OPTION_TEXT, 'u', "username", offsetof(struct login_options, username), "NAME", "who to be (default: ask)",
	 COMPLETES_NOTHING},
	{OPTION_FLAG, 0, "password-stdin", offsetof(struct login_options, password_stdin), NULL,
	 "take the password from standard input", COMPLETES_NOTHING},
	{OPTION_TEXT, 'p', "password", offsetof(struct login_options, password), "TEXT",
	 "the password, which others on this host can then see; better --password-stdin", COMPLETES_NOTHING},
	SCHEME_ROW(struct login_options),
	{OPTION_WORD_OPTIONAL, 0, NULL, offsetof(struct login_options, registry), "REGISTRY",
	 "its name in those of images: ghcr.io, localhost:5000 (default docker.io)", COMPLETES_REGISTRY},
	{OPTION_END, 0, NULL, 0, NULL, NULL, COMPLETES_NOTHING},
};

struct answers {
	char *username, *password;
};

static void answers_clear(struct answers *answers)
{
	free(answers->username);
	text_wipe(&answers->password);
}
#define auto_answers CLEANUP(answers_clear)

static int check(const struct login_options *wanted, struct annex_error **err)
{
	if (wanted->password && wanted->password_stdin)
		return fail(err, ANNEX_ERROR_USAGE, "--password and --password-stdin exclude each other");
	if (wanted->password_stdin && !wanted->username)
		return fail(err, ANNEX_ERROR_USAGE, "--password-stdin needs --username");
	if ((wanted->username && (wanted->password || wanted->password_stdin)) || ask_can())
		return 0;
	fail(err, ANNEX_ERROR_USAGE, "there is no terminal to ask for a user name and a password on");
	return fail_hint(err, "annex image login -u NAME --password-stdin %s <FILE",
			 wanted->registry ? wanted->registry : default_registry);
}

/* All there is, without the end of its last line. */
static int read_password(char **ret, struct annex_error **err)
{
	char *bytes = malloc(PASSWORD_LIMIT + 1);
	ssize_t size;
	int result = -1;

	if (!bytes)
		return fail_memory(err);
	size = file_read_full(STDIN_FILENO, bytes, PASSWORD_LIMIT + 1);
	if (size < 0) {
		fail_os(err, (int)size, "cannot read the password");
	} else if (size > PASSWORD_LIMIT) {
		fail(err, ANNEX_ERROR_USAGE, "the password is longer than %u KiB", PASSWORD_LIMIT >> 10);
	} else if (memchr(bytes, '\0', (size_t)size)) {
		fail(err, ANNEX_ERROR_USAGE, "the password has a zero byte in it");
	} else {
		size -= size > 0 && bytes[size - 1] == '\n';
		size -= size > 0 && bytes[size - 1] == '\r';
		*ret = strndup(bytes, (size_t)size);
		result = *ret ? 0 : fail_memory(err);
	}
	explicit_bzero(bytes, PASSWORD_LIMIT + 1);
	free(bytes);
	return result;
}

static int get_answers(struct answers *ret, const struct login_options *wanted, struct annex_error **err)
{
	int result;

	if (wanted->username) {
		ret->username = strdup(wanted->username);
		if (!ret->username)
			return fail_memory(err);
	} else if (ask_line(&ret->username, "Username: ", false, err) < 0) {
		return -1;
	}
	if (!*ret->username)
		return fail(err, ANNEX_ERROR_USAGE, "the user name is empty");
	if (wanted->password_stdin) {
		result = read_password(&ret->password, err);
	} else if (wanted->password) {
		ret->password = strdup(wanted->password);
		result = ret->password ? 0 : fail_memory(err);
	} else {
		result = ask_line(&ret->password, "Password: ", true, err);
	}
	if (result == 0 && !*ret->password)
		return fail(err, ANNEX_ERROR_USAGE, "the password is empty");
	return result;
}

static int login(struct cli *cli, const struct login_options *wanted, const char *registry, struct annex_error **err)
{
	struct annex_login_options with = ANNEX_LOGIN_OPTIONS_INIT;
	auto_answers struct answers answers = {0};
	auto_free char *where = NULL;

	if (check(wanted, err) < 0 || get_answers(&answers, wanted, err) < 0)
		return -1;
	with.username = answers.username;
	with.password = answers.password;
	with.scheme = wanted->scheme;
	if (annex_registry_login(&where, cli->context, registry, &with, err) < 0)
		return -1;
	progress_clear(cli->progress);
	if (wanted->password)
		fputs("annex: a password on the command line can be seen by others; --password-stdin hides it\n",
		      stderr);
	if (!text_starts(where, "docker-credential-"))
		fprintf(stderr, "annex: the password is in %s, not encrypted; a credential helper can keep it safe\n",
			where);
	fprintf(stderr, "annex: logged in to %s as %s\n", registry, answers.username);
	return 0;
}

static int run_login(struct cli *cli, const void *parsed, struct annex_error **err)
{
	const struct login_options *wanted = parsed;
	const char *registry = wanted->registry ? wanted->registry : default_registry;

	return login(cli, wanted, registry, err) < 0 ? fail_while(err, "image login %s", registry) : 0;
}

struct logout_options {
	const char *registry;
};

static const struct option logout_options[] = {
	{OPTION_WORD_OPTIONAL, 0, NULL, offsetof(struct logout_options, registry), "REGISTRY",
	 "the registry (default docker.io)", COMPLETES_REGISTRY},
	{OPTION_END, 0, NULL, 0, NULL, NULL, COMPLETES_NOTHING},
};

static int run_logout(struct cli *cli, const void *parsed, struct annex_error **err)
{
	const struct logout_options *wanted = parsed;
	const char *registry = wanted->registry ? wanted->registry : default_registry;

	if (annex_registry_logout(cli->context, registry, err) < 0)
		return fail_while(err, "image logout %s", registry);
	fprintf(stderr, "annex: logged out of %s\n", registry);
	return 0;
}

const struct command image_login_command = {
	.name = "image login",
	.aliases = "login,registry login",
	.section = "Images",
	.summary = "log in to a registry",
	.description =
		"Checks a user name and a password with a registry and keeps them where Docker and Podman do: in the "
		"credential helper that is configured, else in Docker's or the containers' configuration. What those "
		"have stored, annex uses as well.",
	.example = "annex image login ghcr.io\n"
		   "annex image login -u anna --password-stdin localhost:5000 <token",
	.options = login_options,
	.size = sizeof(struct login_options),
	.run = run_login,
};

const struct command image_logout_command = {
	.name = "image logout",
	.aliases = "logout,registry logout",
	.section = "Images",
	.summary = "forget how to log in to a registry",
	.description = "Removes the credentials for a registry from everywhere that annex would find them.",
	.example = "annex image logout ghcr.io",
	.options = logout_options,
	.size = sizeof(struct logout_options),
	.run = run_logout,
};
