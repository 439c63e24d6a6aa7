#include "guest/boot.h"

#include "base/file.h"
#include "base/log.h"
#include "base/time.h"
#include "guest/account.h"
#include "guest/cgroup.h"
#include "guest/clock.h"
#include "guest/containers.h"
#include "guest/disk.h"
#include "guest/env.h"
#include "guest/files.h"
#include "guest/inside.h"
#include "guest/login.h"
#include "guest/mount.h"
#include "guest/network.h"
#include "guest/passwd.h"
#include "guest/program.h"
#include "guest/service.h"
#include "guest/settle.h"
#include "guest/share.h"
#include "guest/trust.h"

#include <fcntl.h>
#include <string.h>

enum { DISK_TIMEOUT_MS = 10000, TTY_GID = 5, MACHINE_ID_LENGTH = 32 };

static int mount_disk(struct guest *guest, struct annex_error **err)
{
	char name[DISK_NAME_LIMIT];

	guest_wait_for(guest, "the root disk");
	if (disk_find(name, guest->uevents, time_scaled_ms(DISK_TIMEOUT_MS, guest->config.deadline_factor), err) < 0 ||
	    disk_mount(name, err) < 0)
		return -1;
	guest->disk_mounted = true;
	return 0;
}

/* A machine without its network is still one that can be looked into. */
void boot_network(struct guest *guest)
{
	auto_error struct annex_error *loopback = NULL, *ethernet = NULL;

	if (network_loopback(&loopback) < 0)
		log_info("%s", annex_error_message(loopback));
	if (!text_equal(guest->config.network, "none") &&
	    network_ethernet(guest->interface, &guest->config, &ethernet) < 0)
		log_info("%s", annex_error_message(ethernet));
}

static int keep_search(struct guest *guest, struct annex_error **err)
{
	for (const char *const *each = guest->config.search; *each; each++) {
		if (text_list_add(&guest->search, *each) < 0)
			return fail_memory(err);
	}
	return 0;
}

static bool is_connected(const struct message_config *config)
{
	return !text_equal(config->network, "none");
}

/* A machine that trusts the host's authorities only later, or never, is a machine all the same. */
static void set_trust(const struct message_config *config)
{
	auto_error struct annex_error *err = NULL;

	if (config->trust == TRUST_SET && trust_set(&config->certificates, &err) < 0)
		log_info("%s", annex_error_message(err));
}

struct account boot_account(const struct message_config *config)
{
	return (struct account){.name = config->user_name,
				.uid = config->uid,
				.gid = config->gid,
				.group = config->group_name,
				.home = config->home,
				.home_is_shared = share_has_home(config->shares),
				.shell = config->shell};
}

static void prepare_containers(const struct message_config *config)
{
	auto_error struct annex_error *err = NULL;

	if (share_has_home(config->shares) && containers_keep_on_disk(config->uid, config->gid, &err) < 0)
		log_info("%s", annex_error_message(err)); /* nobody may want any */
}

/* The rest runs with the disk as root and answers by lines: the host name, init's path, the same with links resolved,
 * whether it is the image's command, the group of terminals, init's TZ, what it is told to run in, and what is left to
 * be done about the account, its name and home. */
static int prepare_image(void *data, struct text *out, struct annex_error **err)
{
	const struct message_config *config = data;
	const struct account account = boot_account(config);
	auto_account_user struct account_user user = {0};
	auto_free char *hostname = NULL, *path = NULL, *real = NULL, *group = NULL, *zone = NULL;
	bool connected = is_connected(config), is_command = false;
	const struct files_names names = {.name = config->hostname,
					  .domain = connected ? config->domain : "",
					  .address = connected ? config->address : "",
					  .address6 = connected ? config->address6 : ""};
	const char *mode = config->service ? "builtin" : config->init;
	uint32_t tty = TTY_GID;

	if (files_make_folders(err) < 0 || files_write(&hostname, &names, err) < 0 ||
	    account_ensure(&user, &account, err) < 0 ||
	    program_choose(&path, &real, &is_command, mode, config->init_argv[0], err) < 0 ||
	    (config->service && user.rest != ACCOUNT_RUN && service_check(config, err) < 0))
		return -1;
	if (passwd_read(&group, "/etc/group", "", NULL) < 0 || !passwd_group_by_name(&tty, group, "tty"))
		tty = TTY_GID;
	if (settle_image(&zone, config, program_is_systemd(real)) < 0)
		return fail_memory(err);
	prepare_containers(config);
	set_trust(config);
	text_printf(out, "%s\n%s\n%s\n%d\n%u\n%s\n%s\n%u\n%s\n%s", hostname, path, real, is_command, tty, zone,
		    program_container(real), (unsigned)user.rest, user.name, user.home);
	return 0;
}

static int take_line(char **ret, char **at)
{
	const char *line = strsep(at, "\n");

	free(*ret);
	*ret = strdup(line ? line : "");
	return *ret ? 0 : -ENOMEM;
}

/* The command line of init: the image's, if it is that, else no more than its path. */
static int make_words(struct guest *guest, bool is_command, struct annex_error **err)
{
	struct text_list *words = &guest->init_words;
	int result = 0;

	if (is_command) {
		for (const char *const *word = guest->config.init_argv; *word && result == 0; word++)
			result = text_list_add(words, *word);
	} else if (guest->config.service) {
		result = service_words(words, &guest->config);
	} else {
		result = text_list_add(words, guest->init_path);
	}
	return result < 0 ? fail_memory(err) : 0;
}

static int look_into_image(struct guest *guest, struct annex_error **err)
{
	auto_free char *answer = NULL, *flag = NULL, *gid = NULL, *number = NULL;
	uint32_t tty = TTY_GID, rest = 0;
	char *at;

	guest_wait_for(guest, "the image's files to be prepared");
	if (inside_run(&answer, MOUNT_DISK, prepare_image, &guest->config, err) < 0)
		return -1;
	at = answer;
	if (take_line(&guest->hostname, &at) < 0 || take_line(&guest->init_path, &at) < 0 ||
	    take_line(&guest->init_real, &at) < 0 || take_line(&flag, &at) < 0 || take_line(&gid, &at) < 0 ||
	    take_line(&guest->zone, &at) < 0 || take_line(&guest->container, &at) < 0 || take_line(&number, &at) < 0 ||
	    take_line(&guest->user.name, &at) < 0 || take_line(&guest->user.home, &at) < 0)
		return fail_memory(err);
	if (text_to_u32(&tty, gid, 10) < 0 || text_to_u32(&rest, number, 10) < 0 || rest > ACCOUNT_RUN)
		return fail(err, ANNEX_ERROR_GUEST, "the image has a file name that cannot be used: %s", answer);
	guest->tty_gid = tty;
	guest->user.rest = (enum account_rest)rest;
	return make_words(guest, text_equal(flag, "1"), err);
}

/* As systemd writes it, or as 32 digits: container_uuid takes the form with dashes. */
static int set_uuid(struct text_list *env, const char *id)
{
	auto_text struct text uuid = {0};
	size_t digits = 0;

	for (; *id; id++) {
		if (*id == '-')
			continue;
		if (digits == 8 || digits == 12 || digits == 16 || digits == 20)
			text_add_char(&uuid, '-');
		text_add_char(&uuid, *id);
		digits++;
	}
	if (!text_ok(&uuid))
		return -ENOMEM;
	return digits == MACHINE_ID_LENGTH ? env_set_pair(env, "container_uuid", uuid.data) : 0;
}

static int make_environment(struct guest *guest, struct annex_error **err)
{
	struct text_list *env = &guest->environment;
	int result = env_set_pair(env, "PATH", ENV_PATH);

	/* Nobody sits at the console: what is written there ends up in a log. */
	result |= env_set_pair(env, "TERM", "dumb");
	result |= login_set_machine(env, "", &guest->config);
	env_remove(env, "TZ=");
	if (*guest->zone)
		result |= env_set_pair(env, "TZ", guest->zone);
	result |= env_set_pair(env, "container", guest->container);
	result |= set_uuid(env, guest->config.machine_id);
	if (program_is_systemd(guest->init_real) || guest->config.service)
		result |= env_set_pair(env, "NOTIFY_SOCKET", NOTIFY_ADDRESS);
	return result < 0 ? fail_memory(err) : 0;
}

int boot_machine(struct guest *guest, struct annex_error **err)
{
	clock_begin(guest->config.realtime_ns);
	if (mount_disk(guest, err) < 0)
		return -1;
	if (keep_search(guest, err) < 0)
		return -1;
	guest_wait_for(guest, "the host's files");
	if (shares_set(guest->shares, guest->config.shares, err) < 0)
		return -1;
	if (look_into_image(guest, err) < 0 || make_environment(guest, err) < 0)
		return -1;
	return cgroup_prepare(err);
}
