#include "guest/dropin.h"

#include "base/file.h"
#include "base/log.h"
#include "guest/etcfile.h"
#include "guest/process.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>

#define LIBRARY "libsystemd-shared-"

enum { FIRST_WITH_SPECIFIERS = 249 };

/* The owner of /run may be anybody by now: a file is replaced, never written into. */
static void put(const char *path, const struct text *text, mode_t mode)
{
	int result = text_ok(text) ? etcfile_make_parents(path) : -ENOMEM;

	if (result == 0)
		result = file_write_atomic(AT_FDCWD, path, text->data, text->size, mode);
	if (result < 0)
		log_info("cannot write %s: %s", path, strerror(-result));
}

static void put_text(const char *path, const char *format, const char *word)
{
	auto_text struct text text = {0};

	for (const char *at = format; *at; at++) {
		if (*at == '@')
			text_add(&text, word);
		else
			text_add_char(&text, *at);
	}
	put(path, &text, 0644);
}

/* The interface. */

/* ifupdown of Debian and of BusyBox keep in these what is up. Else it would ask for an address that nobody gives, and
 * hold up the boot for minutes. */
static void tell_ifupdown(const char *interface)
{
	static const char *const states[] = {"/run/network/ifstate", "/run/ifstate"};
	char own[64];

	if (!file_exists(AT_FDCWD, "/etc/network/interfaces"))
		return;
	for (size_t i = 0; i < COUNT_OF(states); i++)
		put_text(states[i], "@=@\n", interface);
	snprintf(own, sizeof(own), "%s.%s", states[0], interface);
	put_text(own, "@\n", interface);
}

static void tell_networkd(const char *interface)
{
	static const char waiter[] = "/run/systemd/system/systemd-networkd-wait-online.service";

	put_text("/run/systemd/network/00-annex.network", "[Match]\nName=@\n\n[Link]\nUnmanaged=yes\n", interface);
	/* With nothing to wait for it would do so for two minutes. */
	if (etcfile_make_parents(waiter) < 0 || (symlink("/dev/null", waiter) < 0 && errno != EEXIST))
		log_info("cannot mask %s", waiter);
}

static void tell_of_interface(const struct dropin *dropin)
{
	tell_ifupdown(dropin->interface);
	if (dropin->systemd)
		tell_networkd(dropin->interface);
	/* In any case: once it is installed it starts at once. */
	put_text("/run/NetworkManager/conf.d/annex.conf",
		 "[main]\ndns=none\nsystemd-resolved=false\n\n"
		 "[device-annex]\nmatch-device=interface-name:@\nmanaged=0\n",
		 dropin->interface);
}

/* Names: needed only where their file is a link, whose end such a program writes. */

static void tell_resolved(const struct resolver *resolver)
{
	auto_text struct text text = {0}, search = {0};

	resolver_search(&search, resolver);
	text_add(&text, "[Resolve]\nDNS=");
	for (const char *at = resolver->dns; *at; at++)
		text_add_char(&text, *at == ',' ? ' ' : *at);
	text_printf(&text, "\nDomains=%s\n", search.data ? search.data : "");
	text.broken |= search.broken;
	put("/run/systemd/resolved.conf.d/annex.conf", &text, 0644);
}

static void tell_resolvconf(const struct resolver *resolver, const char *interface)
{
	auto_text struct text text = {0};
	char path[96];

	if (!file_exists(AT_FDCWD, "/etc/resolvconf") || !*interface)
		return;
	snprintf(path, sizeof(path), "/run/resolvconf/interface/%s.annex", interface);
	resolver_make(&text, resolver);
	put(path, &text, 0644);
}

static void write_names(const struct dropin *dropin)
{
	if (!*dropin->resolver->dns || !resolver_is_link())
		return;
	if (dropin->systemd)
		tell_resolved(dropin->resolver);
	tell_resolvconf(dropin->resolver, dropin->interface);
}

void dropin_change_names(const struct dropin *dropin)
{
	static const char *const paths[] = {"/usr/bin/systemctl", "/bin/systemctl"};
	static const char *const argv[] = {"systemctl", "--no-block", "try-restart", "systemd-resolved.service", NULL};

	write_names(dropin);
	if (!dropin->systemd || !resolver_is_link())
		return;
	process_limit_files();
	for (size_t i = 0; i < COUNT_OF(paths); i++)
		execv(paths[i], (char *const *)argv);
}

/* Proxies. */

void dropin_environment(struct text *out, const char *const *variables, bool percent)
{
	text_add(out, "[Manager]\n");
	for (; *variables; variables++) {
		text_add(out, "DefaultEnvironment=\"");
		for (const char *at = *variables; *at; at++) {
			if (*at == '"' || *at == '\\')
				text_add_char(out, '\\');
			if (*at == '%' && percent)
				text_add_char(out, '%');
			text_add_char(out, *at);
		}
		text_add(out, "\"\n");
	}
}

/* The name of a library tells the version. */
static bool expands_percent(void)
{
	static const char *const folders[] = {"/usr/lib/systemd", "/lib/systemd"};
	bool old = false;

	for (size_t i = 0; i < COUNT_OF(folders) && !old; i++) {
		DIR *folder = opendir(folders[i]);
		struct dirent *entry;

		while (folder && !old && (entry = readdir(folder))) {
			const char *digits = entry->d_name + strlen(LIBRARY);
			auto_free char *number = NULL;
			uint32_t version = 0;

			if (!text_starts(entry->d_name, LIBRARY))
				continue;
			number = strndup(digits, strspn(digits, "0123456789"));
			old = number && text_to_u32(&version, number, 10) == 0 && version < FIRST_WITH_SPECIFIERS;
		}
		if (folder)
			closedir(folder);
	}
	return !old;
}

/* The managers of users have their environment from this one. There may be a password in it. */
static void tell_of_proxies(const char *const *proxies)
{
	auto_text struct text text = {0};

	dropin_environment(&text, proxies, expands_percent());
	put("/run/systemd/system.conf.d/annex.conf", &text, 0600);
}

void dropin_write(const struct dropin *dropin)
{
	if (*dropin->interface)
		tell_of_interface(dropin);
	write_names(dropin);
	if (dropin->systemd && *dropin->proxies)
		tell_of_proxies(dropin->proxies);
}
