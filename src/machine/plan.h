#pragma once
#include "kernel/kernel.h"
#include "machine/proxy.h"
#include "machine/record.h"
#include "machine/share.h"
#include "network/address.h"
#include "qemu/config.h"
#include "wire/message.h"

/*
 * From a record to what is started: which QEMU, accelerator, kernel, devices, and what the guest is told. Making a plan
 * changes nothing on disk but caches.
 */
#define PLAN_DISK_SERIAL  "root"
#define PLAN_SHARE_QUEUES 4u /* one per processor, up to this */

/* Virtio-serial ports: the guest's link, and that of connections to what listens in it. */
enum { PLAN_PORT_GUEST, PLAN_PORT_PORTS };

struct machine_plan {
	struct qemu_probe probe;
	struct qemu_accel accel;
	struct kernel *kernel;
	char *initramfs;
	char *command_line;
	char *uuid;
	struct machine_shares shares;
	unsigned share_queues; /* request queues of their file system */
	uint32_t place;        /* network/address.h */
	struct qemu_disk disk;
	struct qemu_config qemu; /* its texts are the plan's, the record's and the paths' */
};

/* `agent` is the path of annex-guest. The record and the paths must outlive the plan. Errors: NOT_FOUND (QEMU, kernel,
 * disk, what is shared), UNSUPPORTED (accelerator). Blocks while QEMU is asked what it can do, the first time. */
MUST_USE int machine_plan_make(struct machine_plan *ret, const struct machine_paths *paths,
			       const struct machine_record *record, const char *agent, struct annex_error **err);
void machine_plan_clear(struct machine_plan *plan);
#define auto_machine_plan CLEANUP(machine_plan_clear)

/* The kernel that the settings mean: $ANNEX_KERNEL, else the installed default, where they leave it open. */
MUST_USE int machine_open_kernel(struct kernel **ret, const struct machine_paths *paths,
				 const struct machine_settings *settings, struct annex_error **err);

/* Before a start: grow the disk to what is set. Blocks. */
MUST_USE int machine_prepare_disk(const struct machine_paths *paths, const struct machine_record *record,
				  struct annex_error **err);

/* What the guest is told in answer to its HELLO. The texts and lists belong to *ret's keeper. */
struct machine_guest {
	struct message_config config;
	struct text_list environment, shares;
	char *user, *group, *home, *shell, *time_zone, *time_zone_rule;
	char address[ADDRESS_TEXT + 8], gateway[ADDRESS_TEXT], dns[ADDRESS_TEXT];
	char address6[ADDRESS_TEXT + 8], gateway6[ADDRESS_TEXT], dns6[ADDRESS_TEXT];
	struct proxies proxies;
	char *certificates;
};
MUST_USE int machine_guest_make(struct machine_guest *ret, const struct machine_record *record,
				const struct machine_plan *plan, struct annex_error **err);
void machine_guest_clear(struct machine_guest *guest);
#define auto_machine_guest CLEANUP(machine_guest_clear)

/* "SIGRTMIN+3", "SIGTERM", "TERM", "15" → the Linux number; 0 when it names none. */
uint32_t machine_stop_signal(const char *text);
