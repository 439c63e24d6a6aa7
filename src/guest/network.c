/* By rtnetlink, one request after the other, each with its acknowledgement. */
#include "guest/network.h"

#include "base/file.h"
#include "base/log.h"
#include "base/text.h"

#include <arpa/inet.h>
#include <dirent.h>
#include <fcntl.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

enum { REQUEST_MAX = 256, ANSWER_MAX = 4096 };

bool network_parse(struct network_address *ret, const char *text)
{
	size_t length = strcspn(text, "/");
	struct network_address address = {.family = memchr(text, ':', length) ? AF_INET6 : AF_INET};
	char host[INET6_ADDRSTRLEN];
	uint32_t bits;

	address.size = address.family == AF_INET6 ? sizeof(struct in6_addr) : sizeof(struct in_addr);
	bits = (uint32_t)address.size * 8;
	if (length >= sizeof(host) ||
	    (text[length] && (text_to_u32(&bits, text + length + 1, 10) < 0 || bits < 1 || bits > address.size * 8)))
		return false;
	memcpy(host, text, length);
	host[length] = '\0';
	if (inet_pton(address.family, host, address.bytes) != 1)
		return false;
	address.prefix = bits;
	*ret = address;
	return true;
}

/* Requests. */

struct request {
	struct nlmsghdr header;
	char body[REQUEST_MAX];
};

static void begin(struct request *ret, uint16_t type, uint16_t flags, const void *body, size_t size)
{
	*ret = (struct request){.header = {.nlmsg_len = (uint32_t)NLMSG_LENGTH(size),
					   .nlmsg_type = type,
					   .nlmsg_flags = (uint16_t)(NLM_F_REQUEST | NLM_F_ACK | flags)}};
	memcpy(ret->body, body, size);
}

static void add(struct request *request, unsigned short type, const void *bytes, size_t size)
{
	size_t at = NLMSG_ALIGN(request->header.nlmsg_len) - sizeof(request->header);
	struct rtattr attribute = {.rta_len = (unsigned short)RTA_LENGTH(size), .rta_type = type};

	memcpy(request->body + at, &attribute, sizeof(attribute));
	memcpy(request->body + at + RTA_LENGTH(0), bytes, size);
	request->header.nlmsg_len = (uint32_t)(sizeof(request->header) + at + RTA_ALIGN(attribute.rta_len));
}

/* -errno: the kernel's answer. */
static int perform(const struct request *request)
{
	auto_close int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);
	struct sockaddr_nl kernel = {.nl_family = AF_NETLINK};
	char answer[ANSWER_MAX];
	struct nlmsghdr header;
	struct nlmsgerr error;
	ssize_t n;

	if (fd < 0 ||
	    sendto(fd, request, request->header.nlmsg_len, 0, (const struct sockaddr *)&kernel, sizeof(kernel)) < 0)
		return -errno;
	n = recv(fd, answer, sizeof(answer), 0);
	if (n < 0)
		return -errno;
	if ((size_t)n < NLMSG_LENGTH(sizeof(error)))
		return -EPROTO;
	memcpy(&header, answer, sizeof(header));
	memcpy(&error, answer + NLMSG_HDRLEN, sizeof(error));
	return header.nlmsg_type == NLMSG_ERROR ? error.error : -EPROTO;
}

static int set_link(unsigned index, uint32_t mtu)
{
	const struct ifinfomsg body = {
		.ifi_family = AF_UNSPEC, .ifi_index = (int)index, .ifi_flags = IFF_UP, .ifi_change = IFF_UP};
	struct request request;

	begin(&request, RTM_NEWLINK, 0, &body, sizeof(body));
	if (mtu > 0)
		add(&request, IFLA_MTU, &mtu, sizeof(mtu));
	return perform(&request);
}

static int set_address(unsigned index, const struct network_address *address)
{
	const struct ifaddrmsg body = {.ifa_family = (uint8_t)address->family,
				       .ifa_prefixlen = (uint8_t)address->prefix,
				       .ifa_flags = address->family == AF_INET6 ? IFA_F_NODAD : 0,
				       .ifa_scope = RT_SCOPE_UNIVERSE,
				       .ifa_index = index};
	struct request request;
	uint32_t broadcast;

	begin(&request, RTM_NEWADDR, NLM_F_CREATE | NLM_F_REPLACE, &body, sizeof(body));
	add(&request, IFA_LOCAL, address->bytes, address->size);
	add(&request, IFA_ADDRESS, address->bytes, address->size);
	if (address->family == AF_INET && address->prefix < 31) {
		memcpy(&broadcast, address->bytes, sizeof(broadcast));
		broadcast |= htonl(UINT32_MAX >> address->prefix);
		add(&request, IFA_BROADCAST, &broadcast, sizeof(broadcast));
	}
	return perform(&request);
}

static int set_default_route(unsigned index, const struct network_address *gateway)
{
	const struct rtmsg body = {.rtm_family = (uint8_t)gateway->family,
				   .rtm_table = RT_TABLE_MAIN,
				   .rtm_protocol = RTPROT_STATIC,
				   .rtm_scope = RT_SCOPE_UNIVERSE,
				   .rtm_type = RTN_UNICAST};
	struct request request;

	begin(&request, RTM_NEWROUTE, NLM_F_CREATE | NLM_F_REPLACE, &body, sizeof(body));
	add(&request, RTA_GATEWAY, gateway->bytes, gateway->size);
	add(&request, RTA_OIF, &index, sizeof(index));
	return perform(&request);
}

/* The first interface, by name, that is Ethernet (type 1) and has a device: bridges of an earlier start have none. */
static int find_ethernet(char ret[IFNAMSIZ], struct annex_error **err)
{
	DIR *folder = opendir("/sys/class/net");
	struct dirent *entry;

	ret[0] = '\0';
	while (folder && (entry = readdir(folder))) {
		auto_free char *type = NULL;
		char path[300], device[300];

		snprintf(path, sizeof(path), "%s/type", entry->d_name);
		snprintf(device, sizeof(device), "%s/device", entry->d_name);
		if (entry->d_name[0] == '.' || strlen(entry->d_name) >= IFNAMSIZ ||
		    !file_exists(dirfd(folder), device) || file_read(&type, NULL, dirfd(folder), path, 4096) < 0 ||
		    strcmp(type, "1\n") != 0)
			continue;
		if (!ret[0] || strcmp(entry->d_name, ret) < 0)
			strcpy(ret, entry->d_name);
	}
	if (folder)
		closedir(folder);
	if (!ret[0])
		return fail(err, ANNEX_ERROR_NOT_FOUND, "there is no network interface");
	return 0;
}

int network_loopback(struct annex_error **err)
{
	unsigned index = if_nametoindex("lo");
	int result = index ? set_link(index, 0) : -errno;

	return result < 0 ? fail_os(err, result, "cannot bring up the loopback interface") : 0;
}

/* A kernel without it is left as it is. */
static void tell_kernel(const char *path, const char *value)
{
	auto_close int fd = open(path, O_WRONLY | O_CLOEXEC);

	if (fd >= 0 && file_write_all(fd, value, strlen(value)) < 0)
		log_debug("%s: %s", path, strerror(errno));
}

static void configure_nothing_by_itself(const char *name)
{
	static const char *const keys[] = {"accept_ra", "autoconf", "accept_dad"};

	for (size_t i = 0; i < COUNT_OF(keys); i++) {
		char path[128];

		snprintf(path, sizeof(path), "/proc/sys/net/ipv6/conf/%s/%s", name, keys[i]);
		tell_kernel(path, "0");
	}
}

/* The address, and the way to all others. */
static int set_family(unsigned index, const char *address, const char *gateway, struct annex_error **err)
{
	struct network_address parsed;
	int result;

	if (!network_parse(&parsed, address))
		return fail(err, ANNEX_ERROR_USAGE, "%s is not an address with its prefix", address);
	result = set_address(index, &parsed);
	if (result < 0)
		return fail_os(err, result, "cannot set the address %s", address);
	if (!*gateway)
		return 0;
	if (!network_parse(&parsed, gateway))
		return fail(err, ANNEX_ERROR_USAGE, "%s is not an address", gateway);
	result = set_default_route(index, &parsed);
	return result < 0 ? fail_os(err, result, "cannot set the default route to %s", gateway) : 0;
}

int network_ethernet(char ret[IFNAMSIZ], const struct message_config *config, struct annex_error **err)
{
	auto_error struct annex_error *without = NULL;
	unsigned index;
	int result;

	if (find_ethernet(ret, err) < 0)
		return -1;
	index = if_nametoindex(ret);
	configure_nothing_by_itself(ret);
	/* As systemd and container engines have it: everybody can ping, without a privileged program. The image's own
	 * sysctl.conf comes later. */
	tell_kernel("/proc/sys/net/ipv4/ping_group_range", "0 2147483647");
	result = index ? set_link(index, config->mtu) : -errno;
	if (result < 0 && index && config->mtu > 0) {
		log_info("packets of %u bytes can't be: %s", config->mtu, strerror(-result));
		result = set_link(index, 0);
	}
	if (result < 0)
		return fail_os(err, result, "cannot bring up network interface %s", ret);
	/* One is enough to be reached. */
	if (*config->address6 && set_family(index, config->address6, config->gateway6, &without) < 0)
		log_info("%s", annex_error_message(without));
	return *config->address ? set_family(index, config->address, config->gateway, err) : 0;
}
