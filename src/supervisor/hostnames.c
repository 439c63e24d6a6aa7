/*
 * inotify watches inodes: the file itself, for what is written to it, and for each link on the way to it, and for
 * itself, the folder that it is in, for what takes its place. Where a folder isn't there, the next one above it that
 * is: resolvers come and go with theirs (/run/systemd/resolve). Folders tell of much else, as /etc and /run do: only
 * the names that are waited for count.
 *
 * After a change everything is looked at anew: what the files say, and what is to be watched. What says the same as
 * before is no change.
 */
#include "supervisor/hostnames.h"

#include "base/file.h"
#include "base/log.h"
#include "base/time.h"

#include <fcntl.h>
#include <limits.h>
#include <net/if.h>
#include <stdio.h>
#include <string.h>
#include <sys/inotify.h>

enum {
	WATCHES_MAX = 32,
	IN_FOLDER = IN_CREATE | IN_MOVED_TO | IN_MOVED_FROM | IN_DELETE | IN_DELETE_SELF | IN_MOVE_SELF | IN_ONLYDIR,
	IN_FILE = IN_MODIFY | IN_CLOSE_WRITE | IN_ATTRIB | IN_DELETE_SELF | IN_MOVE_SELF,
};

struct watch {
	int number;
	char name[NAME_MAX + 1]; /* of what is waited for in a folder; empty: the file itself */
};

struct hostnames {
	struct loop *loop;
	hostnames_changed_fn *fn;
	void *data;
	const char *resolv_conf, *hosts_file;
	int fd;
	struct loop_source *source, *settle;
	struct watch watches[WATCHES_MAX];
	size_t count;
	struct resolvconf conf;
	struct text_list hosts;
};

static const char *path_of(const char *variable, const char *standard)
{
	const char *set = getenv(variable);

	return set && *set ? set : standard;
}

static void add_watch(struct hostnames *names, const char *path, uint32_t events, const char *name)
{
	struct watch *watch = &names->watches[names->count];

	if (names->count == WATCHES_MAX || strlen(name) > NAME_MAX)
		return;
	watch->number = inotify_add_watch(names->fd, path, events | IN_MASK_ADD);
	if (watch->number < 0)
		return;
	strcpy(watch->name, name);
	names->count++;
}

/* The folder of `path`, or the nearest one above that is there, for the name that leads to it. */
static void watch_folder(struct hostnames *names, const char *path)
{
	char folder[PATH_MAX];
	size_t before = names->count;
	char *slash;

	if (strlen(path) >= sizeof(folder) || *path != '/')
		return;
	strcpy(folder, path);
	while (names->count == before && (slash = strrchr(folder, '/'))) {
		char name[NAME_MAX + 1] = "";

		if (strlen(slash + 1) <= NAME_MAX)
			strcpy(name, slash + 1);
		*slash = '\0';
		if (*name)
			add_watch(names, *folder ? folder : "/", IN_FOLDER, name);
	}
}

/* Where a link leads, in `path`'s place. False: it is none. */
static bool follow(char path[PATH_MAX])
{
	char target[PATH_MAX], joined[2 * PATH_MAX];
	ssize_t size = readlink(path, target, sizeof(target) - 1);
	char *slash = strrchr(path, '/');

	if (size <= 0)
		return false;
	target[size] = '\0';
	if (*target == '/')
		*joined = '\0';
	else
		snprintf(joined, sizeof(joined), "%.*s", (int)(slash + 1 - path), path);
	strcat(joined, target);
	if (strlen(joined) >= PATH_MAX)
		return false;
	strcpy(path, joined);
	return true;
}

static void watch_file(struct hostnames *names, const char *file)
{
	char path[PATH_MAX];
	unsigned links = 0;

	if (strlen(file) >= sizeof(path))
		return;
	strcpy(path, file);
	do
		watch_folder(names, path);
	while (links++ < HOSTNAMES_LINKS_MAX && follow(path));
	add_watch(names, path, IN_FILE, "");
}

static void watch_all(struct hostnames *names)
{
	for (size_t i = 0; i < names->count; i++)
		inotify_rm_watch(names->fd, names->watches[i].number);
	names->count = 0;
	watch_file(names, names->resolv_conf);
	watch_file(names, names->hosts_file);
}

static bool is_same(const struct text_list *a, const struct text_list *b)
{
	if (a->count != b->count)
		return false;
	for (size_t i = 0; i < a->count; i++) {
		if (strcmp(a->items[i], b->items[i]) != 0)
			return false;
	}
	return true;
}

/* A confined process can't ask which number an interface has: "fe80::1%eth0" becomes "fe80::1%2", or is left out while
 * there is no such interface. */
static int number_scopes(struct text_list *servers)
{
	auto_text_list struct text_list made = {0};

	for (size_t i = 0; i < servers->count; i++) {
		const char *server = servers->items[i], *scope = strchr(server, '%');
		const char *port = scope ? scope + strcspn(scope, "#") : NULL;
		char name[IF_NAMESIZE] = "";
		uint32_t number = 0;
		int result;

		if (scope && (size_t)(port - scope - 1) < sizeof(name))
			memcpy(name, scope + 1, (size_t)(port - scope - 1));
		if (scope && text_to_u32(&number, name, 10) < 0)
			number = if_nametoindex(name);
		if (scope && number == 0)
			continue;
		result = scope ? text_list_printf(&made, "%.*s%%%u%s", (int)(scope - server), server, number, port)
			       : text_list_add(&made, server);
		if (result < 0)
			return -ENOMEM;
	}
	text_list_clear(servers);
	*servers = made;
	made = (struct text_list){0};
	return 0;
}

static int look(struct hostnames *names, bool *ret_resolve, bool *ret_search)
{
	auto_free char *conf_text = NULL, *hosts_text = NULL;
	auto_resolvconf struct resolvconf conf = {0};
	auto_text_list struct text_list hosts = {0};

	if (file_read_regular(&conf_text, NULL, AT_FDCWD, names->resolv_conf, RESOLVCONF_LIMIT) < 0)
		conf_text = NULL; /* as if it weren't there, which is what the resolver makes of it */
	if (file_read_regular(&hosts_text, NULL, AT_FDCWD, names->hosts_file, RESOLVCONF_HOSTS) < 0)
		hosts_text = NULL;
	if (resolvconf_parse(&conf, conf_text) < 0 || resolvconf_hosts(&hosts, hosts_text) < 0)
		return -ENOMEM;
	if (number_scopes(&conf.servers) < 0)
		return -ENOMEM;
	*ret_resolve = !is_same(&conf.servers, &names->conf.servers) || !is_same(&hosts, &names->hosts);
	*ret_search = !is_same(&conf.search, &names->conf.search);
	resolvconf_clear(&names->conf);
	text_list_clear(&names->hosts);
	names->conf = conf;
	names->hosts = hosts;
	conf = (struct resolvconf){0};
	hosts = (struct text_list){0};
	return 0;
}

static void on_settled(struct loop_source *source, void *data)
{
	struct hostnames *names = data;
	bool resolve = false, search = false;

	(void)source;
	watch_all(names); /* first: what changes behind that is told again */
	if (look(names, &resolve, &search) < 0)
		log_info("cannot look at %s: out of memory", names->resolv_conf);
	else if (resolve || search)
		names->fn(resolve, search, names->data);
}

static bool is_awaited(const struct hostnames *names, const struct inotify_event *event)
{
	if (event->mask & IN_Q_OVERFLOW)
		return true;
	for (size_t i = 0; i < names->count; i++) {
		const struct watch *watch = &names->watches[i];

		if (watch->number != event->wd || (event->mask & IN_IGNORED))
			continue;
		if (event->len == 0 || strcmp(event->name, watch->name) == 0)
			return true;
	}
	return false;
}

static void on_events(struct loop_source *source, int fd, uint32_t events, void *data)
{
	char buffer[4096] __attribute__((aligned(__alignof__(struct inotify_event))));
	struct hostnames *names = data;
	bool changed = false;
	ssize_t n;

	(void)source, (void)events;
	while ((n = read(fd, buffer, sizeof(buffer))) > 0) {
		for (ssize_t at = 0; at < n;) {
			const struct inotify_event *event = (const void *)(buffer + at);

			changed |= is_awaited(names, event);
			at += (ssize_t)(sizeof(*event) + event->len);
		}
	}
	if (changed)
		loop_timer_restart(names->settle, HOSTNAMES_SETTLE_MS);
}

static int start(struct hostnames *names, struct annex_error **err)
{
	bool resolve, search;
	int result = 0;

	names->fd = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
	if (names->fd < 0) {
		/* Too many of this user's watch something: what is so now counts until the next start. */
		log_info("changes of %s are not noticed: %s", names->resolv_conf, strerror(errno));
	} else {
		result = loop_add_fd(&names->source, names->loop, names->fd, EPOLLIN, on_events, names);
		if (result == 0)
			result = loop_add_timer(&names->settle, names->loop, UINT64_MAX, on_settled, names);
		if (result < 0)
			return fail_os(err, result, "cannot watch %s", names->resolv_conf);
		watch_all(names);
	}
	return look(names, &resolve, &search) < 0 ? fail_memory(err) : 0;
}

int hostnames_new(struct hostnames **ret, struct loop *loop, hostnames_changed_fn *fn, void *data,
		  struct annex_error **err)
{
	struct hostnames *names = calloc(1, sizeof(*names));

	if (!names)
		return fail_memory(err);
	*names = (struct hostnames){
		.loop = loop,
		.fn = fn,
		.data = data,
		.fd = -1,
		.resolv_conf = path_of("ANNEX_RESOLV_CONF", HOSTNAMES_RESOLV_CONF),
		.hosts_file = path_of("ANNEX_HOSTS", HOSTNAMES_HOSTS),
	};
	if (start(names, err) < 0) {
		hostnames_free(names);
		return -1;
	}
	*ret = names;
	return 0;
}

void hostnames_free(struct hostnames *names)
{
	if (!names)
		return;
	loop_source_free(names->source);
	loop_source_free(names->settle);
	cleanup_close(&names->fd);
	resolvconf_clear(&names->conf);
	text_list_clear(&names->hosts);
	free(names);
}

struct message_network_resolve hostnames_resolve(const struct hostnames *names)
{
	return (struct message_network_resolve){(const char *const *)names->conf.servers.items,
						(const char *const *)names->hosts.items};
}

const char *const *hostnames_search(const struct hostnames *names)
{
	return (const char *const *)names->conf.search.items;
}
