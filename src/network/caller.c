/*
 * Connections to a machine's address come from the loopback: the other end is a socket of this host, and the kernel
 * knows its owner, whichever process uses it. One request and one answer, which is there when the request is sent.
 *
 * A socket that its owner has closed has no owner that the kernel would tell: it says 0, as if it were root's, with no
 * inode. Who would take that for root would let in everybody who is quick to close; hence nobody is let in then.
 */
#include "network/caller.h"

#include "base/cleanup.h"
#include "base/log.h"

#include <arpa/inet.h>
#include <errno.h>
#include <linux/inet_diag.h>
#include <linux/netlink.h>
#include <linux/sock_diag.h>
#include <netinet/tcp.h>
#include <stdint.h>
#include <string.h>
#include <sys/socket.h>

enum { ANSWER_MAX = 4096 };

struct caller {
	int netlink; /* -1: there is none */
	uid_t uid;
	uint32_t sequence;
	bool answers_tcp, answers_udp;
	bool told;
};

static int ask(struct caller *caller, int protocol, const struct sockaddr_in *from, const struct sockaddr_in *to)
{
	struct {
		struct nlmsghdr header;
		struct inet_diag_req_v2 body;
	} request = {
		.header = {.nlmsg_len = sizeof(request),
			   .nlmsg_type = SOCK_DIAG_BY_FAMILY,
			   .nlmsg_flags = NLM_F_REQUEST},
		.body = {.sdiag_family = AF_INET, .sdiag_protocol = (uint8_t)protocol, .idiag_states = UINT32_MAX},
	};
	const struct sockaddr_nl kernel = {.nl_family = AF_NETLINK};
	struct inet_diag_sockid *id = &request.body.id;

	request.header.nlmsg_seq = ++caller->sequence;
	id->idiag_sport = from->sin_port;
	id->idiag_dport = to->sin_port;
	id->idiag_src[0] = from->sin_addr.s_addr;
	id->idiag_dst[0] = to->sin_addr.s_addr;
	id->idiag_cookie[0] = id->idiag_cookie[1] = INET_DIAG_NOCOOKIE;
	return sendto(caller->netlink, &request, sizeof(request), 0, (const struct sockaddr *)&kernel, sizeof(kernel)) <
			       0
		       ? -errno
		       : 0;
}

/* Something that listens at the peer's port is not the peer, and what is closed has no owner any more. */
static bool is_of(const struct inet_diag_msg *told, int protocol, const struct sockaddr_in *peer,
		  const struct sockaddr_in *local)
{
	if (told->id.idiag_sport != peer->sin_port || (told->idiag_inode == 0 && told->idiag_uid == 0))
		return false;
	return protocol != IPPROTO_TCP || (told->idiag_state != TCP_LISTEN && told->id.idiag_dport == local->sin_port);
}

/* Whose socket it is. -ENOENT: nobody's, or nobody's any more. */
static int find(uid_t *ret, struct caller *caller, int protocol, const struct sockaddr_in *peer,
		const struct sockaddr_in *local)
{
	union {
		struct nlmsghdr header;
		char bytes[ANSWER_MAX];
	} answer;
	const struct inet_diag_msg *told = NLMSG_DATA(&answer.header);
	const struct nlmsgerr *error = NLMSG_DATA(&answer.header);
	ssize_t size;
	int result;

	/* For UDP source and destination are meant the other way around; the kernel calls that historical. */
	result = protocol == IPPROTO_UDP ? ask(caller, protocol, local, peer) : ask(caller, protocol, peer, local);
	if (result < 0)
		return result;
	do {
		size = recv(caller->netlink, &answer, sizeof(answer), MSG_DONTWAIT);
		if (size < 0)
			return -errno;
		if ((size_t)size < NLMSG_LENGTH(sizeof(*error)))
			return -EBADMSG;
	} while (answer.header.nlmsg_seq != caller->sequence);
	if (answer.header.nlmsg_type == NLMSG_ERROR)
		return error->error < 0 ? error->error : -EBADMSG;
	if (answer.header.nlmsg_type != SOCK_DIAG_BY_FAMILY || (size_t)size < NLMSG_LENGTH(sizeof(*told)))
		return -EBADMSG;
	if (!is_of(told, protocol, peer, local))
		return -ENOENT;
	*ret = told->idiag_uid;
	return 0;
}

static int make_socket(struct sockaddr_in *ret_address, int type)
{
	struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t size = sizeof(address);
	int fd = socket(AF_INET, type | SOCK_CLOEXEC, 0);

	if (fd >= 0 &&
	    (bind(fd, (struct sockaddr *)&address, sizeof(address)) < 0 ||
	     getsockname(fd, (struct sockaddr *)&address, &size) < 0 || (type == SOCK_STREAM && listen(fd, 1) < 0))) {
		close(fd);
		fd = -1;
	}
	*ret_address = address;
	return fd;
}

/* A connection that is only begun has an owner, too; where the loopback is down, none is ever made. */
static bool begin(int fd, const struct sockaddr_in *to)
{
	return connect(fd, (const struct sockaddr *)to, sizeof(*to)) == 0 || errno == EINPROGRESS;
}

/* Whether the kernel tells who we are ourselves. Where that can't be tried, for want of descriptors or ports, which
 * other users of the host can use up, it is taken to do so: then it tells of each connection, or nobody is let in. */
static bool answers(struct caller *caller, int protocol)
{
	int type = protocol == IPPROTO_TCP ? SOCK_STREAM : SOCK_DGRAM;
	struct sockaddr_in local = {0}, peer = {0};
	auto_close int server = make_socket(&local, type);
	auto_close int client = socket(AF_INET, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	socklen_t size = sizeof(peer);
	uid_t uid = (uid_t)-1;

	if (server < 0 || client < 0 || !begin(client, &local) ||
	    getsockname(client, (struct sockaddr *)&peer, &size) < 0)
		return true;
	return find(&uid, caller, protocol, &peer, &local) == 0 && uid == geteuid();
}

int caller_new(struct caller **ret, uid_t uid)
{
	struct caller *caller = calloc(1, sizeof(*caller));

	if (!caller)
		return -ENOMEM;
	caller->uid = uid;
	caller->netlink = socket(AF_NETLINK, SOCK_DGRAM | SOCK_CLOEXEC, NETLINK_SOCK_DIAG);
	if (caller->netlink >= 0) {
		caller->answers_tcp = answers(caller, IPPROTO_TCP);
		caller->answers_udp = answers(caller, IPPROTO_UDP);
	} else if (errno != EPROTONOSUPPORT && errno != EAFNOSUPPORT) {
		caller->answers_tcp = caller->answers_udp = true;
	}
	*ret = caller;
	return 0;
}

void caller_free(struct caller *caller)
{
	if (!caller)
		return;
	if (caller->netlink >= 0)
		close(caller->netlink);
	free(caller);
}

bool caller_admits(struct caller *caller, int protocol, const struct sockaddr_in *peer, const struct sockaddr_in *local)
{
	uid_t uid = (uid_t)-1;

	if (!(protocol == IPPROTO_UDP ? caller->answers_udp : caller->answers_tcp)) {
		if (!caller->told)
			log_info("the kernel does not tell whose connections are: the machine's address takes those "
				 "of every user of this host");
		caller->told = true;
		return true;
	}
	return find(&uid, caller, protocol, peer, local) == 0 && (uid == caller->uid || uid == 0);
}
