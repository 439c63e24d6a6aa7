#include "machine/proxy.h"

#include "network/address.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <string.h>
#include <strings.h>

static const char *const names[] = {"http_proxy", "https_proxy", "ftp_proxy", "all_proxy",
				    "HTTP_PROXY", "HTTPS_PROXY", "FTP_PROXY", "ALL_PROXY"};
static const char *const direct_names[] = {"no_proxy", "NO_PROXY"};
static const char machines[] = "." ADDRESS_DOMAIN;
static const char *const direct[] = {machines, "198.19.0.0/16", "localhost", "127.0.0.1", "::1"};

void proxies_clear(struct proxies *proxies)
{
	text_list_clear(&proxies->variables);
	*proxies = (struct proxies){0};
}

/* Zero is an address of the host itself, too, for who connects to it. */
static bool is_loopback_address(const char *host)
{
	struct in_addr address;
	struct in6_addr address6;

	if (inet_aton(host, &address))
		return address.s_addr == INADDR_ANY || ntohl(address.s_addr) >> 24 == 127;
	if (inet_pton(AF_INET6, host, &address6) != 1)
		return false;
	return IN6_IS_ADDR_LOOPBACK(&address6) || IN6_IS_ADDR_UNSPECIFIED(&address6) ||
	       (IN6_IS_ADDR_V4MAPPED(&address6) && address6.s6_addr[12] == 127);
}

static bool is_loopback(const char *host)
{
	static const char *const known[] = {"localhost", "localhost.localdomain", "ip6-localhost", "ip6-loopback"};
	static const char below[] = ".localhost";
	size_t length = strlen(host);

	for (size_t i = 0; i < COUNT_OF(known); i++) {
		size_t size = strlen(known[i]);

		if (strncasecmp(host, known[i], size) == 0 && (!host[size] || strcmp(host + size, ".") == 0))
			return true;
	}
	return (length > strlen(below) && strcasecmp(host + length - strlen(below), below) == 0) ||
	       is_loopback_address(host);
}

/* Where the host stands in "[SCHEME://][USER[:PASSWORD]@]HOST[:PORT][/…]": as a whole, and without the brackets around
 * an IPv6 address. */
struct host {
	const char *begin, *inner;
	size_t length, inner_length;
};

static struct host find_host(const char *value)
{
	const char *scheme = strstr(value, "://"), *begin = scheme ? scheme + 3 : value, *end, *at;
	struct host host;

	end = begin + strcspn(begin, "/?#");
	at = memrchr(begin, '@', (size_t)(end - begin));
	begin = at ? at + 1 : begin;
	host = (struct host){.begin = begin, .inner = begin, .length = (size_t)(end - begin)};
	if (*begin == '[') {
		const char *close = memchr(begin, ']', host.length);

		if (close)
			host.length = (size_t)(close + 1 - begin);
		host.inner = begin + 1;
		host.inner_length = host.length > 2 ? host.length - 2 : 0;
		return host;
	}
	at = memchr(begin, ':', host.length);
	/* With more than one colon it is an IPv6 address that nobody has put into brackets, and has no port. */
	if (at && !memchr(at + 1, ':', host.length - (size_t)(at + 1 - begin)))
		host.length = (size_t)(at - begin);
	host.inner_length = host.length;
	return host;
}

int proxy_translate(char **ret, const char *value, bool host_access)
{
	const struct host host = find_host(value);
	auto_free char *name = strndup(host.inner, host.inner_length);
	auto_text struct text made = {0};

	*ret = NULL;
	if (!name)
		return -ENOMEM;
	if (!is_loopback(name)) {
		*ret = strdup(value);
		return *ret ? 0 : -ENOMEM;
	}
	if (!host_access)
		return 0;
	text_add_bytes(&made, value, (size_t)(host.begin - value));
	text_add(&made, ADDRESS_HOST);
	text_add(&made, host.begin + host.length);
	*ret = text_take(&made);
	return *ret ? 0 : -ENOMEM;
}

/* What a variable is set to, without blanks around it; *ret is NULL when it says nothing of use. -ENOMEM. */
static int get(char **ret, const char *name)
{
	const char *value = getenv(name);
	size_t length;

	*ret = NULL;
	if (!value)
		return 0;
	value += strspn(value, " \t\r\n");
	length = strlen(value);
	while (length > 0 && isspace((unsigned char)value[length - 1]))
		length--;
	if (length == 0 || length > PROXY_VALUE_MAX || !text_is_utf8(value, length))
		return 0;
	for (size_t i = 0; i < length; i++) {
		if (iscntrl((unsigned char)value[i]))
			return 0;
	}
	*ret = strndup(value, length);
	return *ret ? 0 : -ENOMEM;
}

static int add_proxy(struct proxies *proxies, const char *name, bool host_access)
{
	auto_free char *value = NULL, *translated = NULL;
	int result = get(&value, name);

	if (result < 0 || !value)
		return result;
	result = proxy_translate(&translated, value, host_access);
	proxies->left_out |= result == 0 && !translated;
	return translated ? text_list_printf(&proxies->variables, "%s=%s", name, translated) : result;
}

static bool has_item(const char *list, const char *item)
{
	size_t length = strlen(item);

	for (;;) {
		list += strspn(list, ", \t");
		if (!*list)
			return false;
		if (strncmp(list, item, length) == 0 && (!list[length] || strchr(", \t", list[length])))
			return true;
		list += strcspn(list, ", \t");
	}
}

/* Of the two spellings the one that is set counts for the other; "*" alone is more than any addition. */
static int add_direct(struct proxies *proxies)
{
	auto_free char *lower = NULL, *upper = NULL;
	int result = get(&lower, direct_names[0]);

	if (result == 0)
		result = get(&upper, direct_names[1]);
	for (size_t i = 0; i < COUNT_OF(direct_names) && result == 0; i++) {
		const char *own = i == 0 ? lower : upper, *other = i == 0 ? upper : lower;
		const char *value = own ? own : other ? other : "";
		auto_text struct text made = {0};

		text_printf(&made, "%s=%s", direct_names[i], value);
		for (size_t k = 0; k < COUNT_OF(direct) && strcmp(value, "*") != 0; k++) {
			if (!has_item(value, direct[k]))
				text_printf(&made, "%s%s", *value || k > 0 ? "," : "", direct[k]);
		}
		result = text_list_add_owned(&proxies->variables, text_take(&made));
	}
	return result;
}

bool proxies_are_set(void)
{
	for (size_t i = 0; i < COUNT_OF(names); i++) {
		const char *value = getenv(names[i]);

		if (value && *value)
			return true;
	}
	return false;
}

int proxies_find(struct proxies *ret, bool host_access, struct annex_error **err)
{
	auto_proxies struct proxies found = {0};
	int result = 0;

	for (size_t i = 0; i < COUNT_OF(names) && result == 0; i++)
		result = add_proxy(&found, names[i], host_access);
	if (result == 0 && found.variables.count > 0)
		result = add_direct(&found);
	if (result < 0)
		return fail_memory(err);
	*ret = found;
	found = (struct proxies){0};
	return 0;
}
