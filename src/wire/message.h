#pragma once
#include "base/text.h"
#include "wire/frame.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * What travels between client and supervisor, and between supervisor and guest: the same frames on both links, so that
 * the supervisor passes sessions on by changing only their stream number. Stream 0 is the link itself; every other
 * number is a session. Pure encoding and decoding, no I/O. docs/protocol.md describes the exchanges.
 */
#define WIRE_VERSION 4u

/* Flow control: a sender of INPUT, OUTPUT or ERRORS may have at most this many bytes that the receiver has not given
 * back by CREDIT; the receiver gives credit when it has passed the bytes on. More is a broken protocol. */
#define WIRE_WINDOW (256u << 10)

/* Forwards: sockets whose connections a session passes on (docs/protocol.md). The same flow control with a window of
 * its own for each connection and direction; a connection's number stands for it where a flow's kind stands for a flow.
 */
#define WIRE_FORWARDS_MAX      32u         /* of a session */
#define WIRE_CONNECTIONS_MAX   64u         /* of a session, at once, of those that one side began */
#define WIRE_CONNECTION_WINDOW (64u << 10) /* as WIRE_WINDOW */
#define WIRE_CONNECTION_FIRST  256u        /* the lowest number; those that the guest begins are odd, the others even */
#define WIRE_FORWARD_AGENT     "agent"     /* the guest listens where SSH_AUTH_SOCK tells the session */
#define WIRE_FORWARD_LISTEN    "listen:"   /* PATH: the guest listens */
#define WIRE_FORWARD_CONNECT   "connect:"  /* PATH: the guest connects */

/* Shares are folders and files in the root of one virtio-fs with this tag. A share as a text is "NAME FLAGS TARGET":
 * its name there; letters: d (a folder) or f (a file), r (read-only), h (it is the user's home); where the machine has
 * it, an absolute path without a newline. */
#define WIRE_SHARE_TAG "annex"

/*
 * Ports: connections to what listens in the machine, on a link of their own (the virtio-serial port of this name)
 * between annex-network and the guest. Flow control as with forwards, but with the windows below: the receiver may give
 * more credit than it has had bytes, or less, while it never lets more than the widest be under way. DISCONNECT is a
 * reset unless both ends are told. The link is a byte stream that either side may lose its place in, when
 * annex-network is started anew: then both look for the marker, WIRE_MARKER bytes that the supervisor chose, drop what
 * comes before it, and begin with no connections. The guest writes its own first, the host's end when it has seen that.
 */
#define WIRE_PORTS_LINK           "org.annex.ports"
#define WIRE_MARKER               16u
#define WIRE_PORT_CONNECTIONS_MAX 8192u /* their numbers are from WIRE_CONNECTION_FIRST on */
#define WIRE_PORT_FLOWS_MAX       1024u /* of UDP; numbers from WIRE_PORT_FLOW_FIRST on */
#define WIRE_PORT_FLOW_FIRST      (WIRE_CONNECTION_FIRST + WIRE_PORT_CONNECTIONS_MAX)
#define WIRE_PORT_WINDOW          (64u << 10)  /* to begin with */
#define WIRE_PORT_WINDOW_MAX      (256u << 10) /* the widest */
#define WIRE_PORTS_MAX            4096u        /* texts in PORT_LISTENING */
#define WIRE_PORT_TEXT_MAX        256u         /* bytes of one */

#define MESSAGE_MAX      (4u << 20)  /* bytes of an assembled message */
#define MESSAGE_LIST_MAX 65536u      /* texts in a list */
#define MESSAGE_DATA_MAX (32u << 10) /* bytes that senders put into one INPUT, OUTPUT or ERRORS frame */

enum message_kind {
	/* every link; the first message of either side */
	MESSAGE_HELLO = 1,
	MESSAGE_FAILURE = 2, /* on a session's stream: it could not be opened; on 0: what was asked failed */

	/* client → supervisor, stream 0 */
	MESSAGE_WATCH = 10, /* empty: send STATE now and at every change */
	MESSAGE_STOP = 11,
	MESSAGE_MOUNT = 12, /* share more; DONE or FAILURE answers it, as UMOUNT, in order */
	MESSAGE_UMOUNT = 13,
	MESSAGE_APPLY = 14,         /* settings that have changed; DONE or FAILURE answers it */
	MESSAGE_LIST_SESSIONS = 15, /* empty: SESSIONS answers it */
	MESSAGE_KILL = 16,          /* signal a session; DONE or FAILURE answers it, in order with MOUNT */
	MESSAGE_STATS = 17,         /* empty: what does the machine use? USAGE answers it */
	MESSAGE_LIST_PORTS = 110,   /* empty: PORTS answers it */
	MESSAGE_PUBLISH = 111,      /* publish a port; DONE or FAILURE answers it, as UNPUBLISH, in order */
	MESSAGE_UNPUBLISH = 112,
	MESSAGE_START = 18, /* empty: start the machine now, if it waits to be started again */

	/* supervisor → client, stream 0 */
	MESSAGE_STATE = 20,
	MESSAGE_DONE = 21, /* empty: what was asked is done */
	MESSAGE_SESSIONS = 22,
	MESSAGE_USAGE = 24,
	MESSAGE_PORTS = 113,

	/* supervisor → guest, stream 0 */
	MESSAGE_CONFIG = 30,   /* answers the guest's HELLO */
	MESSAGE_SHUTDOWN = 31, /* stop the machine */
	MESSAGE_CLOCK = 32,    /* set the clock */
	MESSAGE_BIND = 33,     /* show a share; BOUND answers it, as UNBIND, in order */
	MESSAGE_UNBIND = 34,
	MESSAGE_ADJUST = 35,  /* processors, disk, memory; ADJUSTED answers it, in order */
	MESSAGE_MEASURE = 36, /* empty: what is in use, and how late is it? MEASURED answers it */
	MESSAGE_NAMES = 37,   /* how names are looked up has changed on the host */
	MESSAGE_MARK = 38,    /* the link of ports begins anew */

	/* guest → supervisor, stream 0 */
	MESSAGE_WAITING = 40, /* what the boot waits for */
	MESSAGE_READY = 41,   /* the machine is up */
	MESSAGE_HALTED = 42,  /* init ended; HALTED_REBOOT: it is started anew and READY follows */
	MESSAGE_LOG = 43,     /* a piece of the kernel's log */
	MESSAGE_BOUND = 44,
	MESSAGE_ADJUSTED = 45,
	MESSAGE_MEASURED = 46,

	/* sessions: client → supervisor → guest */
	MESSAGE_OPEN = 50,
	MESSAGE_INPUT = 51, /* bytes of standard input; empty: its end */
	MESSAGE_RESIZE = 52,
	MESSAGE_SIGNAL = 53,
	MESSAGE_HANGUP = 54, /* empty: the client is gone */

	/* sessions: guest → supervisor → client */
	MESSAGE_OPENED = 60,
	MESSAGE_OUTPUT = 61, /* bytes of standard output; empty: its end */
	MESSAGE_ERRORS = 62, /* bytes of standard error; empty: its end */
	MESSAGE_EXIT = 63,   /* behind all output; the stream's number is free again. FAILURE frees it too */

	/* sessions, both ways: the receiver's answer to data */
	MESSAGE_CREDIT = 70,
	/* connections through a session's forwards, both ways */
	MESSAGE_CONNECT = 71,    /* somebody connected to a socket of the sender */
	MESSAGE_TRANSFER = 72,   /* the connection's number (4 bytes) and bytes; none: the sender's end */
	MESSAGE_DISCONNECT = 73, /* the sender is done with it; the number is free when both are */

	/* supervisor → annex-share, each a packet of its own; DONE or FAILURE answers each (share/control.h) */
	MESSAGE_SHARE_SETUP = 80, /* the first */
	MESSAGE_SHARE_ADD = 81,   /* with the descriptor of what is shared */
	MESSAGE_SHARE_REMOVE = 82,
	/* empty: confine yourself and serve; the device, or with descriptors of share/bridge.h what comes by that */
	MESSAGE_SHARE_SERVE = 83,
	MESSAGE_SHARE_JOIN = 84, /* with such descriptors: a further process serves one more share */
	MESSAGE_SHARE_LEAVE = 85,

	/* supervisor → annex-network, each a packet of its own; DONE, FAILURE or NETWORK_LISTED answers each, in order
	 * (network/control.h) */
	/* the first, with the descriptors of the links; again, without, when access or `allow` change */
	MESSAGE_NETWORK_SETUP = 90,
	MESSAGE_NETWORK_SERVE = 91,     /* confine yourself and serve */
	MESSAGE_NETWORK_UPLINK = 92,    /* empty; with a descriptor: passt is there. Without: it is not, use slirp */
	MESSAGE_NETWORK_PUBLISH = 93,   /* a body as PUBLISH */
	MESSAGE_NETWORK_UNPUBLISH = 94, /* a body as UNPUBLISH */
	MESSAGE_NETWORK_LIST = 95,      /* empty: what can be reached? */
	MESSAGE_NETWORK_LISTED = 96,
	MESSAGE_NETWORK_RESOLVE = 97, /* how the host looks names up, at the start and when that changes */

	/* annex-network → guest, on the ports' link, stream 0. TRANSFER, CREDIT and DISCONNECT as with forwards */
	MESSAGE_PORT_CONNECT = 100, /* connect to this */
	MESSAGE_PORT_SCAN = 101,    /* empty: look now what listens; PORT_LISTENING answers it */
	/* guest → annex-network */
	MESSAGE_PORT_LISTENING = 102, /* all that listens, whenever it has changed */
	/* both ways: the connection's number (4 bytes) and one datagram, which may be dropped for want of room */
	MESSAGE_PORT_DATAGRAM = 103,
};

/* May hold any byte. */
struct message_bytes {
	const void *bytes;
	size_t size;
};

struct message_hello {
	uint32_t version;
	const char *who; /* "client", "supervisor", or "guest RELEASE" */
};

struct message_failure {
	uint32_t kind; /* enum annex_error_kind */
	uint32_t os;   /* errno or 0 */
	const char *message;
	const char *hint; /* may be empty */
};

struct message_stop {
	int64_t timeout_ms; /* 0: force; negative: the default */
};

struct message_mount {
	const char *volume; /* "HOST:GUEST[:OPTIONS]" as in the setting; HOST is absolute */
	uint32_t kept;      /* the record has it: it is there at the next start too */
};

struct message_umount {
	const char *target;
	uint32_t force; /* even while it is in use */
	uint32_t kept;  /* the record has lost it */
};

struct message_apply {
	const char *const *settings; /* "KEY=VALUE": what the record has now. What can't be taken over waits */
};

struct message_kill {
	const char *id;  /* of a session, whole */
	uint32_t signal; /* Linux numbers; 0: what ends it, SIGHUP where it has a terminal, else SIGTERM */
};

struct message_publish {
	const char *port; /* "[IP:]HOST:GUEST[/udp]" as in the setting, ranges allowed */
	uint32_t kept;    /* the record has it: it is there at the next start too */
};

struct message_unpublish {
	const char *port;
	uint32_t kept; /* the record has lost it */
};

struct message_ports {
	const char *const *ports; /* JSON objects as network/port.h has them */
};

struct message_sessions {
	const char *const *sessions; /* JSON objects as session_record_encode() makes them */
};

struct message_state {
	uint32_t state;      /* enum machine_state */
	const char *waiting; /* what the boot waits for */
	const char *failure; /* why it failed, else empty */
	const char *hint;
	uint32_t failure_kind;
	uint32_t pid;    /* of the supervisor */
	uint32_t vm_pid; /* of QEMU, or 0 */
	uint32_t cpus;
	uint64_t memory;
	int64_t started; /* seconds since 1970 */
	const char *accelerator;
	const char *settings; /* JSON object of the settings in effect */
	const char *shares;   /* JSON list of what is shared */
	uint32_t restarts;    /* in a row, by the setting */
	const char *reasons;  /* JSON object: why a setting waits, by its key */
	const char *network;  /* JSON object: what is in effect */
};

enum message_usage_known {
	USAGE_DISK = 1,  /* what went through the virtual disks */
	USAGE_GUEST = 2, /* what the guest says: the members from memory_total on */
};

struct message_usage {
	uint32_t known;    /* enum message_usage_known; what is not known is 0 */
	uint32_t state;    /* enum machine_state */
	uint32_t cpus;     /* it has */
	uint32_t sessions; /* open ones */
	int64_t started;   /* seconds since 1970 */
	uint64_t at_ns;    /* when this was: of a clock that is never set */
	uint64_t cpu_ns;   /* time of the host's processors that its processes have used so far */
	uint64_t resident; /* bytes of the host's memory that they hold */
	uint64_t memory;   /* bytes it was given */
	uint64_t disk_read;
	uint64_t disk_written;
	uint64_t memory_total; /* bytes, as its kernel counts */
	uint64_t memory_available;
	uint64_t disk_size; /* of its root file system */
	uint64_t disk_used;
	uint64_t received; /* bytes, by its network interfaces */
	uint64_t sent;
	uint64_t tasks;
	uint64_t load; /* of the last minute, in hundredths */
};

struct message_config {
	const char *hostname;
	const char *machine_id;
	const char *user_name; /* the host's user: "root" with uid 0 when that is who it is */
	uint32_t uid;
	uint32_t gid;
	const char *group_name;
	const char *home;
	const char *shell;              /* of the host; used if the image has it */
	const char *const *environment; /* the image's and the settings', "K=V" */
	const char *init;               /* "auto", "image", "builtin" */
	const char *const *init_argv;   /* the image's entrypoint and command: its init if it names one */
	uint32_t stop_signal;           /* the image's, in Linux numbers (RTMIN is 34); 0: none given */
	const char *network;            /* "none" or "ethernet" */
	const char *address;            /* "198.19.3.7/16" */
	const char *gateway;
	const char *dns;
	int64_t realtime_ns;
	uint32_t deadline_factor;   /* by which waits grow under emulation */
	uint32_t debug;             /* log what is done to the console */
	const char *const *shares;  /* in the order in which they are bound */
	uint32_t image_environment; /* how many of `environment` are the image's: the first */
	const char *time_zone;      /* of the host, "Europe/Berlin", or empty */
	const char *time_zone_rule; /* the same as POSIX has it, "CET-1CEST,M3.5.0,M10.5.0/3", or empty */
	uint32_t service;           /* the built-in init runs init_argv as a service */
	const char *service_user;   /* as in OPEN; empty: root */
	const char *service_folder; /* empty: / */
	const char *address6;       /* "fd61:6e6e:6578::307/64", or empty */
	const char *gateway6;
	const char *dns6;
	uint32_t mtu;              /* 0: the interface's own */
	const char *domain;        /* of the machines' names, "annex.internal" */
	const char *const *search; /* the host's search domains, behind that one */
	struct message_bytes
		marker; /* WIRE_MARKER bytes: the ports' link begins with it; none: there is no such link */
	uint32_t trust; /* enum message_trust */
	struct message_bytes
		certificates;       /* as machine/trust.h has them: what the host trusts beside its distribution's */
	const char *const *proxies; /* variables of who started the machine, as machine/proxy.h has them */
};

enum message_trust {
	TRUST_KEEP = 0, /* nothing is known: leave what is there */
	TRUST_SET = 1,  /* exactly `certificates`, beside the image's own; none: remove what an earlier start brought */
};

struct message_names {
	const char *const *search; /* as in CONFIG */
};

struct message_mark {
	struct message_bytes marker;
};

struct message_bind {
	const char *share;
};

struct message_unbind {
	const char *target;
	uint32_t force;
};

enum message_adjustment {
	ADJUST_CPUS = 1, /* value: how many are to be used */
	ADJUST_DISK,     /* value: its size in bytes; the file system is to fill it */
	ADJUST_MEMORY,   /* the value is about to change */
	ADJUST_TRIM,     /* give free space of the disk back; value: 0 only if the machine has nothing else to do */
};

struct message_adjust {
	uint32_t what;
	uint64_t value;
};

struct message_shutdown {
	uint64_t timeout_ms; /* until init is forced */
};

struct message_clock {
	int64_t realtime_ns; /* now; 0: see slew_ns */
	int64_t slew_ns;     /* how far it is to be moved bit by bit */
};

struct message_waiting {
	const char *what;
};

struct message_ready {
	const char *init; /* what runs: "/lib/systemd/systemd", "builtin" */
};

enum message_halt_reason {
	HALTED_POWER_OFF = 1,
	HALTED_REBOOT,
	HALTED_CRASH, /* init died of something else */
};

struct message_halted {
	uint32_t reason;
	const char *text; /* "init was killed by signal 11" */
};

struct message_bound {
	uint32_t kind; /* 0: done; else enum annex_error_kind, and why */
	uint32_t os;
	const char *message;
	const char *hint;
};

struct message_adjusted {
	uint32_t kind; /* 0: done; else enum annex_error_kind, and why */
	uint32_t os;
	const char *message;
	const char *hint;
	uint64_t value; /* of processors, or the disk, as it is now; memory that is free or can be freed; bytes trimmed
			 */
};

struct message_measured {
	int64_t realtime_ns;   /* of its clock */
	uint32_t disciplined;  /* its clock is kept by a program of its own (NTP) */
	uint64_t memory_total; /* these as in struct message_usage */
	uint64_t memory_available;
	uint64_t disk_size;
	uint64_t disk_used;
	uint64_t received;
	uint64_t sent;
	uint64_t tasks;
	uint64_t load;
};

enum message_open_flags {
	OPEN_TERMINAL = 1,
	OPEN_DETACH = 2,
	OPEN_SHELL = 4,         /* argv[0], if any, goes to the login shell with -c; none: an interactive login shell */
	OPEN_NO_INPUT = 8,      /* no INPUT follows: its end at once */
	OPEN_DEFAULT_USER = 16, /* the host's user, `user` is empty */
	OPEN_FOLDER_IF_THERE = 32, /* else the home */
};

struct message_open {
	uint32_t flags;
	const char *const *argv;
	const char *const *environment; /* on top of the login environment */
	const char *user;               /* NAME, UID, NAME:GROUP, UID:GID */
	const char *folder;             /* empty: the home */
	uint32_t rows;
	uint32_t columns;
	const char *const *forwards; /* WIRE_FORWARD_…; a forward's number is its place here */
	/* What the client's terminal, language, time zone and proxies are: TERM, COLORTERM, LANG, LC_…, TZ, http_proxy…
	 * (as machine/proxy.h has them) as "K=V". */
	const char *const *login;
	const char *time_zone_rule;    /* of that TZ */
	struct message_bytes terminfo; /* the compiled entry of that TERM, or nothing */
};

struct message_resize {
	uint32_t rows;
	uint32_t columns;
};

struct message_signal {
	uint32_t number; /* Linux numbers */
	uint32_t all;    /* to every process of the session; else as from a keyboard */
};

struct message_opened {
	const char *id; /* the guest's is a number of its own; what clients get is the supervisor's */
};

struct message_exit {
	uint32_t status; /* the exit status, when signal is 0 */
	uint32_t signal;
};

struct message_credit {
	uint32_t channel; /* MESSAGE_INPUT, MESSAGE_OUTPUT or MESSAGE_ERRORS; or a connection's number */
	uint32_t bytes;
};

struct message_connect {
	uint32_t connection;
	uint32_t forward;
};

struct message_disconnect {
	uint32_t connection;
};

struct message_share_setup {
	uint32_t queues;
	uint32_t workers;
	uint32_t number; /* of the process: 0 has the device */
	uint32_t uid;    /* who the server's user is in the guest */
	uint32_t gid;
};

struct message_share_add {
	const char *name;
	uint32_t read_only;
	uint32_t cache; /* enum share_cache */
	const char *const *masks;
};

struct message_share_remove {
	const char *name;
};

struct message_share_join {
	uint32_t number;
	const char *name; /* of the share */
};

struct message_share_leave {
	uint32_t number;
};

enum message_network_flags {
	NETWORK_ETHERNET = 1, /* the machine has a network interface: the first descriptor is its link */
	NETWORK_HOST_ACCESS =
		2,            /* host.annex.internal leads to the host's loopback; its other addresses can be reached */
	NETWORK_ISOLATED = 4, /* nothing but `allow` can be reached, by DNS neither */
	NETWORK_PASST = 8,    /* UPLINK follows before SERVE: passt carries what goes outside */
	NETWORK_NO_UPLINK = 16, /* nothing goes outside: there are the other machines, and the host by its access */
};

struct message_network_setup {
	const char *name;         /* of the machine */
	const char *folder;       /* of its network's switch, absolute; empty: no other machine can be reached */
	uint32_t address;         /* the low 16 bits of the machine's addresses (network/address.h) */
	uint32_t flags;           /* enum message_network_flags */
	uint32_t uid;             /* whose connections to the machine's own address are taken, beside root's */
	const char *const *allow; /* rules as network/rule.h has them */
	struct message_bytes marker;
};

struct message_network_listed {
	const char *const *ports;
};

struct message_network_resolve {
	const char *const
		*servers; /* "192.0.2.53", "fe80::53%2" with its interface's number, with "#PORT" for another than 53 */
	const char *const *hosts; /* lines of the host's /etc/hosts, "ADDRESS NAME…", without its comments */
};

struct message_port_connect {
	uint32_t connection;
	uint32_t protocol; /* IPPROTO_TCP or IPPROTO_UDP: then each PORT_DATAGRAM is one, and nothing is TRANSFERred */
	const char *address; /* in the machine, where it listens: "127.0.0.1", "::1" */
	uint32_t port;
};

struct message_port_listening {
	const char *const
		*sockets; /* "tcp ADDRESS PORT PID PROGRAM", ADDRESS as its kernel binds it ("0.0.0.0", "::1") */
};

/* Append the frames of a message to `out`; body is the kind's struct, NULL texts count as empty and NULL lists as
 * none. -EMSGSIZE past MESSAGE_MAX (out is unchanged), -ENOMEM. */
MUST_USE int message_put(struct text *out, enum message_kind kind, uint16_t stream, const void *body);
/* Append the frames of a message that is passed on: its payload is encoded already. */
MUST_USE int message_forward(struct text *out, enum message_kind kind, uint16_t stream, const void *payload,
			     size_t size);
/* Append one data frame (INPUT, OUTPUT, ERRORS, LOG); size at most FRAME_PAYLOAD_MAX. */
MUST_USE int message_put_data(struct text *out, enum message_kind kind, uint16_t stream, const void *bytes,
			      size_t size);

/* Decode a payload into the kind's struct. Texts point into the payload, which must outlive the struct; every text is
 * NUL-terminated and never NULL, every list NULL-terminated. -EPROTO, -ENOMEM. Free with message_clear() on success. */
MUST_USE int message_get(void *body, enum message_kind kind, const uint8_t *payload, size_t size);
void message_clear(void *body, enum message_kind kind);
/* The head of a TRANSFER's payload: its connection. */
#define TRANSFER_HEADER 4u
void message_put_connection(uint8_t payload[TRANSFER_HEADER], uint32_t connection);
MUST_USE int message_get_connection(uint32_t *ret, const uint8_t *payload, size_t size); /* -EPROTO */
/* "OPEN", for logs; "?" when unknown. */
const char *message_name(unsigned kind);

/* One assembled message of a link's byte stream. */
struct message {
	enum message_kind kind; /* may be unknown: check by message_name or in the dispatch table */
	uint16_t stream;
	const uint8_t *payload; /* valid until the next message_read() */
	size_t size;
};

struct message_reader {
	struct text parts; /* of a message in several frames */
	uint16_t kind;
	uint16_t stream;
	bool partial;
	bool given; /* `parts` was handed out by the last call */
};

/* Take what is there: FRAME_READY gives one message and *used bytes (to be dropped by the caller once it has handled
 * the message); FRAME_NEED_MORE may use bytes too. */
enum frame_result message_read(struct message_reader *reader, struct message *ret, const uint8_t *in, size_t size,
			       size_t *used);
void message_reader_clear(struct message_reader *reader);
