/*
 * Composes the parts: what the host says, what init does, and what follows from either. The boot itself blocks, which
 * nothing minds: there is nobody yet to be kept waiting but the host, whose next message can only be SHUTDOWN.
 */
#include "guest/guest.h"

#include "base/log.h"
#include "base/time.h"
#include "guest/autoload.h"
#include "guest/boot.h"
#include "guest/cgroup.h"
#include "guest/clock.h"
#include "guest/dropin.h"
#include "guest/enroll.h"
#include "guest/login.h"
#include "guest/measure.h"
#include "guest/port.h"
#include "guest/process.h"
#include "guest/program.h"
#include "guest/resolver.h"
#include "guest/settle.h"
#include "guest/share.h"
#include "guest/shutdown.h"

#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/utsname.h>
#include <sys/wait.h>

enum { BROKEN_STOP_MS = 30000, PORTS_TIMEOUT_MS = 10000 };

static void tell_waiting(const struct guest *guest)
{
	link_send(guest->link, MESSAGE_WAITING, 0, &(struct message_waiting){.what = guest->waiting});
}

static void tell_ready(const struct guest *guest)
{
	bool builtin = text_equal(guest->init_path, PROGRAM_BUILTIN);

	link_send(guest->link, MESSAGE_READY, 0,
		  &(struct message_ready){.init = builtin ? "builtin" : guest->init_path});
}

void guest_wait_for(struct guest *guest, const char *format, ...)
{
	char before[sizeof(guest->waiting)];
	va_list args;

	memcpy(before, guest->waiting, sizeof(before));
	va_start(args, format);
	vsnprintf(guest->waiting, sizeof(guest->waiting), format, args);
	va_end(args);
	if (strcmp(before, guest->waiting) == 0)
		return;
	log_debug("waiting for %s", guest->waiting);
	tell_waiting(guest);
}

static void fail_machine(struct guest *guest, const struct annex_error *err)
{
	log_info("%s", err ? annex_error_message(err) : "unknown error");
	link_send_error(guest->link, 0, err);
	shutdown_finish(guest);
}

/* Init. */

static void on_ready(struct guest *guest)
{
	if (guest->state != GUEST_STARTING)
		return;
	guest->state = GUEST_UP;
	tell_ready(guest);
}

static void on_notify(const struct notify_news *news, void *data)
{
	struct guest *guest = data;

	if (news->ready)
		on_ready(guest);
	else if (guest->state == GUEST_STARTING && news->status[0])
		guest_wait_for(guest, "init: %s", news->status);
}

static void on_ready_waiting(const char *what, void *data)
{
	struct guest *guest = data;

	if (guest->state == GUEST_STARTING)
		guest_wait_for(guest, "init to finish: %s", what);
}

static void on_ready_up(void *data)
{
	struct guest *guest = data;

	ready_free(guest->ready);
	guest->ready = NULL;
	on_ready(guest);
}

static const struct ready_callbacks ready_callbacks = {on_ready_waiting, on_ready_up};

static void on_init_running(void *data)
{
	struct guest *guest = data;
	const struct program *program = program_find(guest->init_real);
	int result = 0;

	sessions_set_machine(guest->sessions, init_pidfd(guest->init), &guest->config);
	autoload_set_machine(init_pid(guest->init));
	shares_set_machine(guest->shares, init_pidfd(guest->init), guest->config.deadline_factor);
	if (guest->state == GUEST_STARTING)
		guest_wait_for(guest, "%s to finish starting", guest->init_path);
	if (program && program->readiness == PROGRAM_TELLS_BY_SOCKET)
		return; /* it is told, too, which mounts to leave alone */
	shares_watch(guest->shares, init_pid(guest->init));
	if (text_equal(guest->init_path, PROGRAM_BUILTIN)) {
		if (!guest->config.service)
			on_ready(guest);
		return;
	}
	result = ready_new(&guest->ready, guest->loop, init_pidfd(guest->init), &ready_callbacks, guest);
	if (result < 0) {
		log_info("cannot see how far init is: %s", strerror(-result));
		on_ready(guest);
	}
}

/* What runs in the place of init, before it. */
static const char *enrolling_name(const struct guest *guest)
{
	return guest->user.rest == ACCOUNT_RUN ? ACCOUNT_SCRIPT : "the check of the account";
}

/* reboot(2) in a pid namespace ends its PID 1 by SIGHUP for a restart, and by SIGINT for power off and halt. One that
 * just exits has had enough, unless it never was up. */
static void describe_end(struct guest *guest, int status)
{
	struct message_halted *halt = &guest->halt;
	const char *name = guest->enrolls ? enrolling_name(guest) : guest->init_path;
	bool off = guest->state == GUEST_STOPPING || (WIFSIGNALED(status) && WTERMSIG(status) == SIGINT) ||
		   (WIFEXITED(status) && WEXITSTATUS(status) == 0 && guest->state != GUEST_STARTING);
	bool again = WIFSIGNALED(status) && WTERMSIG(status) == SIGHUP;
	char said[sizeof(guest->waiting) + 8] = "";

	halt->reason = off ? HALTED_POWER_OFF : again ? HALTED_REBOOT : HALTED_CRASH;
	if (text_starts(guest->waiting, "init: "))
		snprintf(said, sizeof(said), ": %s", guest->waiting + strlen("init: "));
	if (WIFSIGNALED(status))
		snprintf(guest->halt_text, sizeof(guest->halt_text), "%s was killed by signal %d (%s)", name,
			 WTERMSIG(status), strsignal(WTERMSIG(status)));
	else
		snprintf(guest->halt_text, sizeof(guest->halt_text), "%s exited with status %d%s%s", name,
			 WEXITSTATUS(status), guest->state == GUEST_STARTING ? " before it was up" : "", said);
	if (off || again)
		snprintf(guest->halt_text, sizeof(guest->halt_text), "%s", off ? "powered off" : "rebooting");
	halt->text = guest->halt_text;
}

static void on_init_ended(int status, const struct annex_error *err, void *data)
{
	struct guest *guest = data;
	auto_error struct annex_error *copy = NULL;

	notify_listen_to(guest->notify, 0);
	ready_free(guest->ready);
	guest->ready = NULL;
	sessions_set_machine(guest->sessions, -1, NULL);
	autoload_set_machine(0);
	shares_set_machine(guest->shares, -1, guest->config.deadline_factor);
	if (err)
		fail_relayed(&copy, annex_error_kind(err), annex_error_errno(err), annex_error_message(err),
			     annex_error_hint(err));
	init_free(guest->init);
	guest->init = NULL;
	if (copy) {
		fail_machine(guest, copy);
		return;
	}
	describe_end(guest, status);
	log_info("%s", guest->halt_text);
	if (guest->halt.reason == HALTED_REBOOT) {
		link_send(guest->link, MESSAGE_HALTED, 0, &guest->halt);
		guest_start_init(guest);
		return;
	}
	guest->halted = true;
	shutdown_finish(guest);
}

static const struct init_callbacks init_callbacks = {on_init_running, on_init_ended};

/* For inits whose table may have a getty on each of them. */
static void prepare_terminals(struct guest *guest)
{
	const struct program *program = program_find(guest->init_real);
	int result;

	if (guest->terminals || !program ||
	    (program->readiness != PROGRAM_HAS_RUNLEVELS && program->readiness != PROGRAM_HAS_TABLE))
		return;
	result = terminals_new(&guest->terminals, guest->loop);
	if (result < 0)
		log_info("there are no terminals for logins: %s", strerror(-result));
}

static struct mount_options mounts(const struct guest *guest)
{
	bool systemd = program_is_systemd(guest->init_real);

	return (struct mount_options){.console = console_path(guest->console),
				      .tty_gid = guest->tty_gid,
				      .systemd = systemd,
				      .units_home = systemd && share_has_home(guest->config.shares) ? guest->config.home
												    : NULL,
				      .terminals = guest->terminals,
				      .shares = guest->shares};
}

/* What is below /run, and what may be a link to there. */

static void write_furniture(const struct guest *guest, void (*write)(const struct dropin *dropin))
{
	const struct message_config *config = &guest->config;
	auto_error struct annex_error *err = NULL;
	bool connected = !text_equal(config->network, "none");
	const char *dns = *config->dns ? config->dns : config->dns6;
	const struct resolver resolver = {.dns = connected ? dns : "",
					  .domain = config->domain,
					  .search = (const char *const *)guest->search.items};
	const struct dropin dropin = {.interface = guest->interface,
				      .systemd = program_is_systemd(guest->init_real),
				      .resolver = &resolver,
				      .proxies = config->proxies};

	if (resolver_write(&resolver, &err) < 0)
		log_info("%s", annex_error_message(err));
	write(&dropin);
}

static void furnish(const void *data)
{
	write_furniture(data, dropin_write);
}

/* The rest of the account, before init runs: in namespaces like init's, in its place. */

static int do_enroll(const void *data, struct annex_error **err)
{
	const struct guest *guest = data;
	const struct account account = boot_account(&guest->config);
	auto_error struct annex_error *unsettled = NULL;
	auto_text_list struct text_list environment = {0};

	if (login_set_machine(&environment, "", &guest->config) < 0)
		return fail_memory(err);
	if (enroll(&(struct enroll){.account = &account,
				    .user = &guest->user,
				    .machine_id = guest->config.machine_id,
				    .environment = (const char *const *)environment.items,
				    .deadline_factor = guest->config.deadline_factor},
		   err) < 0)
		return -1;
	if (guest->user.rest == ACCOUNT_RUN && program_is_systemd(guest->init_real) &&
	    settle_user(&guest->config, &unsettled) < 0)
		log_info("%s", annex_error_message(unsettled));
	return 0;
}

static void on_enrolling(void *data)
{
	(void)data;
}

static void on_enrolled(int status, const struct annex_error *err, void *data)
{
	struct guest *guest = data;

	if (err || guest->state != GUEST_STARTING || status != 0) {
		on_init_ended(status, err, guest);
		return;
	}
	init_free(guest->init);
	guest->init = NULL;
	guest->enrolls = false;
	guest->user.rest = ACCOUNT_DONE;
	guest_start_init(guest);
}

static const struct init_callbacks enroll_callbacks = {on_enrolling, on_enrolled};

static int start_enrolling(struct guest *guest, struct annex_error **err)
{
	const struct init_options options = {.path = enrolling_name(guest),
					     .hostname = guest->hostname,
					     .mounts = mounts(guest),
					     .furnish = furnish,
					     .furnish_data = guest,
					     .work = do_enroll,
					     .work_data = guest};

	guest_wait_for(guest, "%s", options.path);
	guest->enrolls = true;
	return init_start(&guest->init, guest->loop, &options, &enroll_callbacks, guest, err);
}

static int start_program(struct guest *guest, struct annex_error **err)
{
	const struct init_options options = {
		.path = guest->init_path,
		.argv = (const char *const *)guest->init_words.items,
		.environment = (const char *const *)guest->environment.items,
		.hostname = guest->hostname,
		.mounts = mounts(guest),
		.furnish = furnish,
		.furnish_data = guest,
	};

	guest_wait_for(guest, "%s to start", guest->init_path);
	if (init_start(&guest->init, guest->loop, &options, &init_callbacks, guest, err) < 0)
		return -1;
	notify_listen_to(guest->notify, init_pid(guest->init));
	return 0;
}

void guest_start_init(struct guest *guest)
{
	auto_error struct annex_error *err = NULL;

	guest->state = GUEST_STARTING;
	boot_network(guest);
	prepare_terminals(guest);
	if (cgroup_reset(&err) < 0 ||
	    (guest->user.rest == ACCOUNT_DONE ? start_program(guest, &err) : start_enrolling(guest, &err)) < 0)
		fail_machine(guest, err);
}

/* Messages. */

static void handle_hello(struct guest *guest, const void *body)
{
	const struct message_hello *hello = body;
	auto_error struct annex_error *err = NULL;

	if (hello->version == WIRE_VERSION)
		return;
	fail(&err, ANNEX_ERROR_UNSUPPORTED, "the host speaks version %u of the protocol, the guest version %u",
	     hello->version, WIRE_VERSION);
	link_send_error(guest->link, 0, err);
	shutdown_begin(guest, time_scaled_ms(BROKEN_STOP_MS, 1));
}

/* The configuration's texts lie in the payload: it is kept, and decoded again for good. */
static int keep_config(struct guest *guest, const struct message *message, struct annex_error **err)
{
	guest->payload = malloc(message->size);
	if (!guest->payload)
		return fail_memory(err);
	memcpy(guest->payload, message->payload, message->size);
	if (message_get(&guest->config, MESSAGE_CONFIG, (const uint8_t *)guest->payload, message->size) < 0)
		return fail(err, ANNEX_ERROR_GUEST, "malformed CONFIG");
	return 0;
}

static void begin_ports(struct guest *guest, const struct message_bytes *marker)
{
	if (marker->size == WIRE_MARKER)
		portlink_begin(guest->ports, marker->bytes);
}

/* A machine whose ports can't be reached from the host is one all the same. */
static void open_ports(struct guest *guest)
{
	auto_error struct annex_error *err = NULL;
	int fd = -1, result;

	if (guest->config.marker.size != WIRE_MARKER)
		return;
	if (port_open(&fd, WIRE_PORTS_LINK, guest->uevents,
		      time_scaled_ms(PORTS_TIMEOUT_MS, guest->config.deadline_factor), &err) < 0) {
		log_info("%s", annex_error_message(err));
		return;
	}
	result = portlink_new(&guest->ports, guest->loop, fd);
	if (result < 0)
		log_info("the machine's ports cannot be reached: %s", strerror(-result));
	begin_ports(guest, &guest->config.marker);
}

/* The host's side is new; we are not. */
static void take_config_again(struct guest *guest, const struct message *message)
{
	struct message_config config;

	if (message_get(&config, MESSAGE_CONFIG, message->payload, message->size) < 0)
		return;
	begin_ports(guest, &config.marker);
	message_clear(&config, MESSAGE_CONFIG);
}

static void handle_mark(struct guest *guest, const void *body)
{
	const struct message_mark *message = body;

	begin_ports(guest, &message->marker);
}

static void handle_config(struct guest *guest, const struct message *message)
{
	auto_error struct annex_error *err = NULL;

	if (guest->state != GUEST_UNCONFIGURED) {
		take_config_again(guest, message);
		return;
	}
	if (keep_config(guest, message, &err) < 0) {
		fail_machine(guest, err);
		return;
	}
	if (guest->config.debug)
		setenv("ANNEX_DEBUG", "1", 1);
	if (boot_machine(guest, &err) < 0) {
		fail_machine(guest, err);
		return;
	}
	if (klog_new(&guest->klog, guest->loop, guest->link) < 0)
		log_info("the kernel's log cannot be sent to the host");
	open_ports(guest);
	guest_start_init(guest);
}

static void handle_shutdown(struct guest *guest, const void *body)
{
	const struct message_shutdown *message = body;

	shutdown_begin(guest, message->timeout_ms);
}

static void handle_clock(struct guest *guest, const void *body)
{
	(void)guest;
	clock_handle(body);
}

static void handle_measure(struct guest *guest, const void *body)
{
	struct message_measured measured;

	(void)body;
	measure_take(&measured);
	link_send(guest->link, MESSAGE_MEASURED, 0, &measured);
}

static void handle_bind(struct guest *guest, const void *body)
{
	shares_handle_bind(guest->shares, body);
}

static void handle_unbind(struct guest *guest, const void *body)
{
	shares_handle_unbind(guest->shares, body);
}

static void handle_adjust(struct guest *guest, const void *body)
{
	adjusts_handle(guest->adjusts, body, guest->config.deadline_factor);
}

/* By a child in the machine: what a path there leads to may let it wait. It is reaped as a stray. */
static void handle_names(struct guest *guest, const void *body)
{
	const struct message_names *names = body;
	auto_text_list struct text_list search = {0};
	pid_t pid;

	for (const char *const *each = names->search; *each; each++) {
		if (text_list_add(&search, *each) < 0)
			return;
	}
	text_list_clear(&guest->search);
	guest->search = search;
	search = (struct text_list){0};
	if (!guest->init || guest->enrolls)
		return; /* it is written at its start */
	pid = process_fork_into(init_pidfd(guest->init));
	if (pid < 0)
		log_info("the search domains stay: %s", strerror(-pid));
	if (pid != 0)
		return;
	process_reset();
	if (setns(init_pidfd(guest->init), CLONE_NEWNS) == 0)
		write_furniture(guest, dropin_change_names);
	_exit(0);
}

static void handle_failure(struct guest *guest, const void *body)
{
	const struct message_failure *message = body;

	(void)guest;
	log_info("the host says: %s", message->message);
}

static const struct handler {
	enum message_kind kind;
	void (*fn)(struct guest *guest, const void *body);
} handlers[] = {
	{MESSAGE_HELLO, handle_hello},     {MESSAGE_FAILURE, handle_failure}, {MESSAGE_SHUTDOWN, handle_shutdown},
	{MESSAGE_CLOCK, handle_clock},     {MESSAGE_BIND, handle_bind},       {MESSAGE_UNBIND, handle_unbind},
	{MESSAGE_MEASURE, handle_measure}, {MESSAGE_ADJUST, handle_adjust},   {MESSAGE_NAMES, handle_names},
	{MESSAGE_MARK, handle_mark},
};

union body {
	struct message_hello hello;
	struct message_failure failure;
	struct message_shutdown shutdown;
	struct message_clock clock;
	struct message_bind bind;
	struct message_unbind unbind;
	struct message_adjust adjust;
	struct message_names names;
	struct message_mark mark;
};

static void protest(struct guest *guest, const struct message *message)
{
	auto_error struct annex_error *err = NULL;

	fail(&err, ANNEX_ERROR_GUEST, "unexpected or malformed message %s (%u) on stream %u",
	     message_name(message->kind), message->kind, message->stream);
	log_info("%s", annex_error_message(err));
	link_send_error(guest->link, 0, err);
}

static void on_message(const struct message *message, void *data)
{
	struct guest *guest = data;
	union body body;

	if (sessions_handle(guest->sessions, message)) {
		portlink_hurry(guest->ports);
		return;
	}
	if (message->kind == MESSAGE_CONFIG && message->stream == 0) {
		handle_config(guest, message);
		return;
	}
	for (size_t i = 0; i < COUNT_OF(handlers); i++) {
		if (handlers[i].kind != message->kind || message->stream != 0)
			continue;
		if (message_get(&body, message->kind, message->payload, message->size) < 0)
			break;
		handlers[i].fn(guest, &body);
		message_clear(&body, message->kind);
		return;
	}
	protest(guest, message);
}

static void on_connect(void *data)
{
	struct guest *guest = data;
	struct utsname system;
	char who[128];

	uname(&system);
	snprintf(who, sizeof(who), "guest %s", system.release);
	link_send(guest->link, MESSAGE_HELLO, 0, &(struct message_hello){.version = WIRE_VERSION, .who = who});
	if (guest->state == GUEST_UP)
		tell_ready(guest);
	else if (guest->state != GUEST_UNCONFIGURED)
		tell_waiting(guest);
}

static void on_room(void *data)
{
	struct guest *guest = data;

	sessions_resume(guest->sessions);
	shutdown_check(guest);
}

/* The machine goes on without its host; its sessions have lost their clients. */
static void on_lost(void *data)
{
	struct guest *guest = data;

	sessions_abandon(guest->sessions);
	shutdown_check(guest);
}

static void on_broken(void *data)
{
	struct guest *guest = data;

	log_info("the host broke the protocol: powering off");
	sessions_abandon(guest->sessions);
	shutdown_begin(guest, time_scaled_ms(BROKEN_STOP_MS, 1));
}

static const struct link_callbacks link_callbacks = {on_connect, on_message, on_room, on_lost, on_broken};

/* Children that nobody waits for: whose parent died, and helpers. */
static void on_child_signal(struct loop_source *source, int signal, void *data)
{
	struct guest *guest = data;

	(void)source;
	(void)signal;
	for (;;) {
		siginfo_t info = {0};

		if (waitid(P_ALL, 0, &info, WEXITED | WNOHANG | WNOWAIT) < 0 || info.si_pid == 0)
			return;
		if ((guest->init && init_pid(guest->init) == info.si_pid) ||
		    sessions_has_child(guest->sessions, info.si_pid) || shares_has_child(guest->shares, info.si_pid) ||
		    adjusts_has_child(guest->adjusts, info.si_pid) || ready_has_child(guest->ready, info.si_pid))
			return; /* the loop will tell its owner */
		waitpid(info.si_pid, NULL, 0);
	}
}

static void on_no_sessions(void *data)
{
	shutdown_check(data);
}

int guest_new(struct guest **ret, int uevents, int port, struct annex_error **err)
{
	struct guest *guest = calloc(1, sizeof(*guest));
	int result;

	if (!guest)
		return fail_memory(err);
	guest->uevents = uevents;
	result = loop_new(&guest->loop);
	if (result == 0)
		result = link_new(&guest->link, guest->loop, port, &link_callbacks, guest);
	if (result == 0)
		result = sessions_new(&guest->sessions, guest->loop, guest->link, on_no_sessions, guest);
	if (result == 0)
		result = loop_add_signal(&guest->reaper, guest->loop, SIGCHLD, on_child_signal, guest);
	if (result < 0) {
		guest_free(guest);
		return fail_os(err, result, "cannot start the agent");
	}
	if (shares_new(&guest->shares, guest->loop, guest->link, err) < 0 ||
	    adjusts_new(&guest->adjusts, guest->loop, guest->link, err) < 0 ||
	    console_new(&guest->console, guest->loop, err) < 0 ||
	    notify_new(&guest->notify, guest->loop, on_notify, guest, err) < 0) {
		guest_free(guest);
		return -1;
	}
	*ret = guest;
	return 0;
}

void guest_free(struct guest *guest)
{
	if (!guest)
		return;
	ready_free(guest->ready);
	init_free(guest->init);
	sessions_free(guest->sessions);
	shares_free(guest->shares);
	adjusts_free(guest->adjusts);
	klog_free(guest->klog);
	portlink_free(guest->ports);
	notify_free(guest->notify);
	console_free(guest->console);
	terminals_free(guest->terminals);
	link_free(guest->link);
	loop_source_free(guest->reaper);
	loop_source_free(guest->timer);
	loop_source_free(guest->asker);
	loop_free(guest->loop);
	if (guest->payload)
		message_clear(&guest->config, MESSAGE_CONFIG);
	free(guest->payload);
	free(guest->hostname);
	free(guest->init_path);
	free(guest->init_real);
	free(guest->zone);
	free(guest->container);
	text_list_clear(&guest->search);
	text_list_clear(&guest->init_words);
	text_list_clear(&guest->environment);
	account_user_clear(&guest->user);
	free(guest);
}
