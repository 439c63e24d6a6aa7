/*
 * Order matters: what needs the agent's files (control groups, /proc) comes before the machine's namespaces are
 * entered, what needs root (the terminal, other users' pipes) before the user's identity is taken, and all that a path
 * of the user's leads to (working directory, program) after it. Whatever blocks here blocks this process only.
 */
#include "guest/launch.h"

#include "base/file.h"
#include "base/time.h"
#include "guest/cgroup.h"
#include "guest/env.h"
#include "guest/execute.h"
#include "guest/logind.h"
#include "guest/login.h"
#include "guest/offering.h"
#include "guest/passwd.h"
#include "guest/process.h"
#include "guest/report.h"
#include "guest/share.h"
#include "guest/terminal.h"
#include "guest/utmp.h"

#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

/* The host's user by id: in the machine it may go by another name. */
static int resolve_default(struct passwd_identity *ret, const struct message_config *config, const char *passwd,
			   const char *group, struct annex_error **err)
{
	int result = passwd_by_uid(&ret->user, passwd, config->uid);

	if (result == -ENOENT) {
		ret->user = (struct passwd_user){.name = strdup(config->user_name),
						 .uid = config->uid,
						 .gid = config->gid,
						 .home = strdup(config->home),
						 .shell = strdup(config->shell)};
		result = ret->user.name && ret->user.home && ret->user.shell ? 0 : -ENOMEM;
	}
	/* Where the host's home is shared, it is the home. */
	if (result == 0 && share_has_home(config->shares)) {
		free(ret->user.home);
		ret->user.home = strdup(config->home);
		result = ret->user.home ? 0 : -ENOMEM;
	}
	if (result < 0)
		return fail_memory(err);
	ret->group_count = passwd_groups_of(ret->groups, PASSWD_GROUPS_MAX, group, ret->user.name, ret->user.gid);
	return 0;
}

static int resolve(struct passwd_identity *ret, const struct launch *launch, struct annex_error **err)
{
	auto_free char *passwd = NULL, *group = NULL;

	if (passwd_read(&passwd, "/etc/passwd", "root:x:0:0:root:/root:/bin/sh\n", err) < 0 ||
	    passwd_read(&group, "/etc/group", "", err) < 0)
		return -1;
	if (launch->open->flags & OPEN_DEFAULT_USER)
		return resolve_default(ret, launch->config, passwd, group, err);
	return passwd_resolve(ret, launch->open->user, passwd, group, err);
}

/* A machine may do without: then nobody sees who is logged in. */
static void record_login(const struct launch *launch, const struct passwd_user *user, unsigned terminal, int self)
{
	auto_close int record = utmp_login("", &(struct utmp_entry){.pid = getpid(),
								    .terminal = terminal,
								    .user = user->name,
								    .seconds = time_realtime_ns() / 1000000000});
	auto_close int held = logind_register(self, &(struct logind_session){user->uid, terminal});

	if ((record >= 0 && utmp_is_in_memory(record) && report_send_fd(launch->report, record, LAUNCH_RECORD) < 0) ||
	    (held >= 0 && report_send_fd(launch->report, held, LAUNCH_LOGIND) < 0))
		_exit(127); /* nobody is left to be told */
}

static int make_terminal(const struct launch *launch, const struct passwd_user *user, int self,
			 struct annex_error **err)
{
	auto_close int master = -1, terminal = -1;
	unsigned number = 0;
	int result;

	if (terminal_open(&master, &terminal, user->uid, launch->open->rows, launch->open->columns, err) < 0)
		return -1;
	if (terminal_number(&number, master) == 0)
		record_login(launch, user, number, self);
	result = report_send_fd(launch->report, master, LAUNCH_TERMINAL);
	if (result == 0)
		result = process_set_standard(terminal, terminal, terminal);
	if (result == 0)
		result = terminal_control(0);
	return result < 0 ? fail_os(err, result, "cannot set up the terminal") : 0;
}

/* The pipes become the user's, so that /dev/stdout and the like can be opened by it. */
static int make_pipes(const struct launch *launch, const struct passwd_user *user, struct annex_error **err)
{
	int fds[] = {launch->in, launch->out, launch->errors}, result;

	for (size_t i = 0; i < COUNT_OF(fds); i++) {
		if (fds[i] >= 0 && fchown(fds[i], user->uid, user->gid) < 0)
			return fail_os(err, errno, "cannot hand over a pipe");
	}
	result = process_set_standard(launch->in, launch->out, launch->errors);
	return result < 0 ? fail_os(err, result, "cannot set up standard input and output") : 0;
}

static const char *choose_shell(const struct passwd_user *user)
{
	return user->shell[0] == '/' && access(user->shell, X_OK) == 0 ? user->shell : "/bin/sh";
}

static int change_folder(const struct message_open *open, const char *home, struct annex_error **err)
{
	const char *folder = open->folder;

	if (*folder && open->flags & OPEN_FOLDER_IF_THERE && chdir(folder) == 0)
		return 0;
	if (*folder && !(open->flags & OPEN_FOLDER_IF_THERE))
		return chdir(folder) < 0 ? fail_os(err, errno, "cannot go to the folder %s", folder) : 0;
	if (*home && chdir(home) == 0)
		return 0;
	return chdir("/") < 0 ? fail_os(err, errno, "cannot go to the folder /") : 0;
}

/* argv for a login shell: interactive without arguments, else with -c. */
static int shell_arguments(struct text_list *ret, const char *shell, const char *const *argv, struct annex_error **err)
{
	int result;

	if (!argv[0]) {
		result = text_list_printf(ret, "-%s", path_name(shell));
	} else {
		result = text_list_add(ret, path_name(shell));
		result |= text_list_add(ret, "-c");
	}
	for (; *argv && result == 0; argv++)
		result = text_list_add(ret, *argv);
	return result < 0 ? fail_memory(err) : 0;
}

int launch_enter(struct passwd_identity *ret, const struct launch *launch, struct annex_error **err)
{
	if (setns(launch->init_pidfd, CLONE_NEWNS | CLONE_NEWUTS | CLONE_NEWIPC | CLONE_NEWCGROUP) < 0)
		return fail_os(err, errno, "cannot enter the machine");
	return resolve(ret, launch, err);
}

static int start(const struct launch *launch, struct annex_error **err)
{
	auto_text_list struct text_list env = {0}, arguments = {0};
	auto_free char *agent = NULL;
	struct passwd_identity identity = {0};
	const char *const *argv = launch->open->argv;
	const char *program = argv[0], *shell;
	auto_close int self = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);

	if (cgroup_enter_as_session(launch->number, err) < 0)
		return -1;
	if (launch_enter(&identity, launch, err) < 0)
		return -1;
	/* What is logged about it must not go to the program's standard error. */
	if (offering_make_agent(&agent, launch, &identity.user, err) < 0)
		return -1;
	if (launch->open->flags & OPEN_TERMINAL ? make_terminal(launch, &identity.user, self, err) < 0
						: make_pipes(launch, &identity.user, err) < 0)
		return -1;
	shell = choose_shell(&identity.user);
	if (login_environment(&env,
			      &(struct login){.root = "",
					      .config = launch->config,
					      .open = launch->open,
					      .user = &identity.user,
					      .shell = shell,
					      .agent = agent},
			      err) < 0)
		return -1;
	if (launch->open->flags & OPEN_SHELL) {
		if (shell_arguments(&arguments, shell, argv, err) < 0)
			return -1;
		argv = (const char *const *)arguments.items;
		program = shell;
	}
	if (!program)
		return fail(err, ANNEX_ERROR_USAGE, "there is no command to run");
	if (execute_as(&identity, err) < 0 || offering_listen(launch, err) < 0 ||
	    change_folder(launch->open, identity.user.home, err) < 0)
		return -1;
	return execute_program(program, argv, &env, err);
}

void launch(const struct launch *launch)
{
	struct annex_error *err = NULL;

	process_reset();
	start(launch, &err);
	report_send_error(launch->report, err);
	_exit(127);
}
