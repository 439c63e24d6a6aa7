/*
 * A machine that runs can be given as many processors and as much memory as the host has, but address space for memory
 * that could be added only up to where every host's processor can address it. More of either waits for a restart.
 */
#include "machine/hardware.h"

#include "qemu/config.h"
#include "qemu/nested.h"

#include <sys/utsname.h>

#define REACH (128ull << 30) /* 39 bits of addresses, with room for holes and alignment */

static int check_virtualization(const struct machine_settings *settings, const char *data, struct annex_error **err)
{
	auto_qemu_probe struct qemu_probe probe = {0};
	auto_qemu_accel struct qemu_accel accel = {0};
	enum qemu_accel_kind wanted;
	struct utsname host;

	uname(&host);
	if (qemu_accel_parse(&wanted, settings->accel, err) < 0 || qemu_probe(&probe, data, err) < 0 ||
	    qemu_accel_choose(&accel, &probe, wanted, err) < 0)
		return -1;
	return qemu_nested_check(accel.kind, host.machine, QEMU_NESTED_MODULES, err);
}

int hardware_check(const struct machine_settings *settings, const struct machine_settings *before, const char *data,
		   struct annex_error **err)
{
	bool same_accel = before && text_equal(settings->accel, before->accel);

	if (!settings->virtualization || (same_accel && before->virtualization))
		return 0;
	return check_virtualization(settings, data, err);
}

struct hardware_room hardware_room(const struct machine_settings *settings, unsigned host_cpus, uint64_t host_memory)
{
	uint64_t most = host_memory < REACH ? host_memory : REACH;
	const uint64_t unit = 128ull << 20; /* a guest's kernel adds no less at once */
	struct hardware_room room = {.cpus = host_cpus < QEMU_CPUS_MAX ? host_cpus : QEMU_CPUS_MAX};

	if (room.cpus < settings->cpus)
		room.cpus = (unsigned)settings->cpus;
	if (settings->memory < most)
		room.growth = (most - settings->memory) / unit * unit;
	return room;
}
