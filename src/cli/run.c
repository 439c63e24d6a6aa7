/*
 * annex run: a command in a machine, with our standard streams.
 *
 * Once the session is open we are a wire: poll the session and a signalfd until the program has ended. Signals and
 * window changes are passed on; with a terminal the keys go through as bytes, because ours is raw then. While the
 * machine boots, an interrupt still means annex itself. Exit statuses are those of docker and podman: the program's
 * own, 125 when annex failed, 126 not executable, 127 not found.
 */
#include "base/text.h"
#include "cli/envfile.h"
#include "cli/interrupt.h"
#include "cli/machines.h"
#include "cli/terminal.h"

#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/signalfd.h>

#define RUN_FAILED         125
#define RUN_NOT_EXECUTABLE 126
#define RUN_NOT_FOUND      127

struct run_options {
	const char *name;
	const char *user;
	struct option_number uid;
	struct option_number gid;
	struct option_list environment;
	struct option_list files;
	const char *folder;
	const char *shell_command;
	const char *progress;
	struct option_list forwarded;
	struct option_list published;
	struct option_list command;
	bool no_agent;
	bool detach;
	bool root;
	bool interactive;
	bool terminal;
	bool no_terminal;
};
#define AT(field) offsetof(struct run_options, field)

static const struct option options[] = {
	{OPTION_TEXT, 'n', "name", AT(name), "NAME", "the machine", COMPLETES_MACHINE},
	{OPTION_FLAG, 'd', "detach", AT(detach), NULL,
	 "let it run on its own and print the session's id; logs --session shows what it writes", COMPLETES_NOTHING},
	{OPTION_FLAG, 0, "root", AT(root), NULL, "as root", COMPLETES_NOTHING},
	{OPTION_TEXT, 'u', "user", AT(user), "NAME|UID[:GID]", "as this user (default: like yours)", COMPLETES_NOTHING},
	{OPTION_NUMBER, 0, "uid", AT(uid), "UID", "as the user with this number", COMPLETES_NOTHING},
	{OPTION_NUMBER, 0, "gid", AT(gid), "GID", "with this group", COMPLETES_NOTHING},
	{OPTION_LIST, 'e', "env", AT(environment), "KEY[=VALUE]",
	 "environment variable; without a value, the one here (repeatable)", COMPLETES_NOTHING},
	{OPTION_LIST, 0, "env-file", AT(files), "FILE", "environment variables, one per line (repeatable)",
	 COMPLETES_FILE},
	{OPTION_TEXT, 'w', "workdir", AT(folder), "DIR",
	 "working directory in the machine (default: the one here if it is shared, else home)", COMPLETES_FOLDER},
	{OPTION_TEXT, 0, "cwd", AT(folder), "DIR", NULL, COMPLETES_FOLDER},
	{OPTION_FLAG, 'i', "interactive", AT(interactive), NULL, "keep standard input connected, as it always is",
	 COMPLETES_NOTHING},
	{OPTION_FLAG, 't', "tty", AT(terminal), NULL,
	 "with a terminal (default: if standard input and output are terminals)", COMPLETES_NOTHING},
	{OPTION_FLAG, 'T', "no-tty", AT(no_terminal), NULL, "without a terminal", COMPLETES_NOTHING},
	{OPTION_TEXT, 'c', NULL, AT(shell_command), "STRING", "give STRING to the login shell", COMPLETES_NOTHING},
	{OPTION_FLAG, 0, "no-ssh-agent", AT(no_agent), NULL,
	 "without your SSH agent, which the command can use otherwise while it runs", COMPLETES_NOTHING},
	{OPTION_LIST, 0, "forward-socket", AT(forwarded), "HOST:GUEST",
	 "make the Unix socket GUEST in the machine; who connects to it reaches HOST here (repeatable)",
	 COMPLETES_VOLUME},
	{OPTION_LIST, 0, "publish-socket", AT(published), "HOST:GUEST",
	 "make the Unix socket HOST here; who connects to it reaches GUEST in the machine (repeatable)",
	 COMPLETES_VOLUME},
	PROGRESS_ROW(struct run_options),
	{OPTION_REST, 0, NULL, AT(command), "CMD", "the command and its arguments (default: a login shell)",
	 COMPLETES_FILE},
	{OPTION_END, 0, NULL, 0, NULL, NULL, COMPLETES_NOTHING},
};

static int check(const struct run_options *wanted, struct annex_error **err)
{
	static const char contradict[] = "%s and %s contradict each other";

	if (wanted->terminal && wanted->no_terminal)
		return fail(err, ANNEX_ERROR_USAGE, contradict, "-t", "-T");
	if (wanted->detach && (wanted->terminal || wanted->interactive))
		return fail(err, ANNEX_ERROR_USAGE, contradict, "-d", wanted->terminal ? "-t" : "-i");
	if (wanted->detach && (wanted->forwarded.count || wanted->published.count))
		return fail(err, ANNEX_ERROR_USAGE, contradict, "-d",
			    wanted->forwarded.count ? "--forward-socket" : "--publish-socket");
	if (wanted->shell_command && wanted->command.count)
		return fail(err, ANNEX_ERROR_USAGE, contradict, "-c", "a command");
	if (wanted->root && (wanted->user || wanted->uid.set))
		return fail(err, ANNEX_ERROR_USAGE, contradict, "--root", wanted->user ? "--user" : "--uid");
	if (wanted->user && wanted->uid.set)
		return fail(err, ANNEX_ERROR_USAGE, contradict, "--user", "--uid");
	if (wanted->user && strchr(wanted->user, ':') && wanted->gid.set)
		return fail(err, ANNEX_ERROR_USAGE, contradict, "--user with a group", "--gid");
	if (wanted->uid.value > UINT32_MAX - 1 || wanted->gid.value > UINT32_MAX - 1)
		return fail(err, ANNEX_ERROR_USAGE, "a user or group number is too large");
	return 0;
}

/* *ret stays NULL for the host's user. */
static int make_user(char **ret, const struct run_options *wanted, struct annex_error **err)
{
	auto_text struct text user = {0};

	if (!wanted->root && !wanted->user && !wanted->uid.set && !wanted->gid.set)
		return 0;
	if (wanted->user)
		text_add(&user, wanted->user);
	else if (wanted->root)
		text_add(&user, "root");
	else
		text_printf(&user, "%llu", (unsigned long long)(wanted->uid.set ? wanted->uid.value : getuid()));
	if (wanted->gid.set)
		text_printf(&user, ":%llu", (unsigned long long)wanted->gid.value);
	*ret = text_take(&user);
	return *ret ? 0 : fail_memory(err);
}

static int add_ours(struct text_list *list, const char *key, struct annex_error **err)
{
	const char *value = getenv(key);

	return !value || text_list_printf(list, "%s=%s", key, value) == 0 ? 0 : fail_memory(err);
}

/* Env files, then -e: later ones win. */
static int make_environment(struct text_list *list, const struct run_options *wanted, struct annex_error **err)
{
	for (size_t i = 0; i < wanted->files.count; i++) {
		if (envfile_read(list, wanted->files.words[i], err) < 0)
			return -1;
	}
	for (size_t i = 0; i < wanted->environment.count; i++) {
		const char *word = wanted->environment.words[i];

		if (!*word || *word == '=')
			return fail(err, ANNEX_ERROR_USAGE, "-e: '%s' is not KEY[=VALUE]", word);
		if (!strchr(word, '=')) {
			if (add_ours(list, word, err) < 0)
				return -1;
		} else if (text_list_add(list, word) < 0) {
			return fail_memory(err);
		}
	}
	return 0;
}

/* The program may write as soon as it runs, before we hear of it: the terminal must be raw by then, and what is meant
 * for the program must not end us or get lost. Until then, what interrupts means annex itself. */
static int open_ready(struct annex_session **ret, struct annex_machine *machine, struct annex_session_options *asked,
		      struct annex_error **err)
{
	sigset_t held;

	interrupt_held_signals(&held);
	sigprocmask(SIG_BLOCK, &held, NULL);
	terminal_size(&asked->rows, &asked->columns);
	if ((!asked->terminal || !isatty(STDIN_FILENO) || terminal_make_raw(err) == 0) &&
	    annex_session_open(ret, machine, asked, err) == 0)
		return 0;
	terminal_restore();
	sigprocmask(SIG_UNBLOCK, &held, NULL);
	return -1;
}

static int open_session(struct annex_session **ret, struct cli *cli, struct annex_machine *machine,
			struct annex_session_options *asked, struct annex_error **err)
{
	auto_error struct annex_error *first = NULL;

	if (open_ready(ret, machine, asked, &first) == 0)
		return 0;
	if (annex_error_kind(first) != ANNEX_ERROR_BUSY) {
		*err = TAKE(first);
		return -1;
	}
	/* It does not run, or is not up yet. */
	if (machines_start(cli, machine, err) < 0)
		return -1;
	progress_clear(cli->progress);
	return open_ready(ret, machine, asked, err);
}

static int pass_on(struct annex_session *session, int fd, bool terminal, struct annex_error **err)
{
	struct signalfd_siginfo info;
	unsigned rows, columns;
	ssize_t size = read(fd, &info, sizeof(info));

	if (size != (ssize_t)sizeof(info))
		return 0;
	if (info.ssi_signo == SIGCONT)
		terminal_renew();
	if (info.ssi_signo == SIGWINCH || info.ssi_signo == SIGCONT) {
		if (!terminal)
			return 0;
		terminal_size(&rows, &columns);
		return annex_session_resize(session, rows, columns, err);
	}
	return annex_session_signal(session, (int)info.ssi_signo, err);
}

/* Until the program has ended and all its output is written. */
static int attend(struct annex_session *session, bool terminal, struct annex_error **err)
{
	auto_close int signals = -EBADF;
	sigset_t set;
	int ended = 0;

	interrupt_session_signals(&set);
	signals = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	if (signals < 0)
		return fail_os(err, errno, "cannot receive signals");
	while (!ended) {
		struct pollfd places[] = {{annex_session_fd(session), POLLIN, 0}, {signals, POLLIN, 0}};

		if (poll(places, COUNT_OF(places), -1) < 0 && errno != EINTR)
			return fail_os(err, errno, "cannot wait for the session");
		if (places[1].revents && pass_on(session, signals, terminal, err) < 0)
			return -1;
		if (places[0].revents && annex_session_dispatch(session, &ended, err) < 0)
			return -1;
	}
	return annex_session_status(session);
}

static int converse(struct cli *cli, struct annex_machine *machine, struct annex_session_options *asked,
		    struct annex_error **err)
{
	struct annex_session *session = NULL;
	sigset_t set;
	int status, early;

	if (open_session(&session, cli, machine, asked, err) < 0)
		return -1;
	if (asked->detach) {
		puts(annex_session_id(session));
		annex_session_unref(session);
		return 0;
	}
	interrupt_session_signals(&set);
	sigprocmask(SIG_BLOCK, &set, NULL);
	terminal_pass_keys();
	early = interrupt_take(cli->context);
	if (early && annex_session_signal(session, early, err) < 0)
		status = -1;
	else
		status = attend(session, asked->terminal, err);
	terminal_restore();
	annex_session_unref(session);
	sigprocmask(SIG_UNBLOCK, &set, NULL);
	return status;
}

static int run(struct cli *cli, const void *parsed, struct annex_error **err)
{
	const struct run_options *wanted = parsed;
	struct annex_session_options asked = ANNEX_SESSION_OPTIONS_INIT;
	auto_machine struct annex_machine *machine = NULL;
	auto_text_list struct text_list environment = {0};
	auto_free char *user = NULL;
	int status;

	progress_set_mode(cli->progress, wanted->progress);
	asked.terminal = wanted->terminal ||
			 (!wanted->no_terminal && !wanted->detach && isatty(STDIN_FILENO) && isatty(STDOUT_FILENO));
	if (check(wanted, err) < 0 || make_user(&user, wanted, err) < 0 ||
	    make_environment(&environment, wanted, err) < 0) {
		fail_hint(err, "annex run --help");
		return fail_while(err, "run");
	}
	if (machines_open(&machine, cli, NULL, wanted->name, err) < 0)
		return -1;
	asked.argv = wanted->command.words;
	asked.shell_command = wanted->shell_command;
	asked.environment = (const char *const *)environment.items;
	asked.user = user;
	asked.folder = wanted->folder;
	asked.detach = wanted->detach;
	asked.ssh_agent = wanted->no_agent ? 0 : -1;
	asked.forward_sockets = wanted->forwarded.words;
	asked.publish_sockets = wanted->published.words;
	status = converse(cli, machine, &asked, err);
	return status < 0 ? fail_while(err, "run in %s", annex_machine_name(machine)) : status;
}

static int exit_status(const struct annex_error *err)
{
	int os = annex_error_errno(err);

	if (annex_error_kind(err) == ANNEX_ERROR_NOT_FOUND && os == ENOENT)
		return RUN_NOT_FOUND;
	if (annex_error_kind(err) == ANNEX_ERROR_SYSTEM && (os == EACCES || os == ENOEXEC))
		return RUN_NOT_EXECUTABLE;
	return RUN_FAILED;
}

const struct command run_command = {
	.name = "run",
	.aliases = "shell,exec,enter",
	.section = "Machines",
	.summary = "run a command or a login shell in a machine",
	.description =
		"Runs a command in a machine, which is booted first if needed. The command's arguments arrive as "
		"they are; options of annex come before it. It starts in the folder that you are in, where the "
		"machine has it, else in its user's home. Exits with the command's status, with 128+N if signal N "
		"killed it, 125 if annex failed, 126 if the command can't be executed, 127 if there is none.",
	.example = "annex run\nannex run -n dev -e LANG=C -- make -j4\ntar c src | annex run -n dev tar x",
	.options = options,
	.size = sizeof(struct run_options),
	.run = run,
	.exit_status = exit_status,
};
