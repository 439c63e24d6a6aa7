/*
 * With auto a passt that is known to lose data is none (machine/passt.h). A passt serves one connection, and ends with
 * it. One that dies is followed by another at once; if they die one after the other, after ever longer waits. With auto
 * the first that can't run, or a few deaths in a row, mean that slirp is used until annex-network is started again: it
 * goes through the host as programs do, and copes with what it has.
 */
#include "supervisor/outward.h"

#include "base/log.h"
#include "base/text.h"
#include "base/time.h"
#include "machine/passt.h"
#include "supervisor/carrier.h"

#include <string.h>

struct outward {
	struct loop *loop;
	const char *wanted;
	uint32_t place;
	const struct outward_callbacks *callbacks;
	void *data;
	struct carrier *carrier;
	struct loop_source *again;
	bool slirp;      /* auto has given up on passt */
	unsigned deaths; /* in a row */
	uint64_t died_at;
};

static bool wants(const struct outward *outward, const char *what)
{
	return strcmp(outward->wanted, what) == 0;
}

static void on_carrier_ended(const struct annex_error *why, bool can_run, void *data);

static int start(struct outward *outward, int *ret_fd, struct annex_error **err)
{
	return carrier_start(&outward->carrier, ret_fd, outward->loop, outward->place, on_carrier_ended, outward, err);
}

static void take_slirp(struct outward *outward, const struct annex_error *why)
{
	log_info("%s: what goes outside is carried by slirp", annex_error_message(why));
	outward->slirp = true;
}

/* Nobody has said that it has to be passt: then only one that does what slirp does. */
static int check(struct outward *outward, struct annex_error **err)
{
	auto_free char *program = NULL;

	if (wants(outward, "passt"))
		return 0;
	return machine_passt_find(&program, err) < 0 ? -1 : machine_passt_check(program, err);
}

int outward_open(struct outward *outward, int *ret_fd, struct annex_error **err)
{
	auto_error struct annex_error *why = NULL;

	*ret_fd = -1;
	outward->slirp = false;
	if (wants(outward, "slirp") || wants(outward, "none"))
		return 0;
	if (check(outward, &why) == 0 && start(outward, ret_fd, &why) == 0)
		return 0;
	if (wants(outward, "passt")) {
		if (err)
			*err = TAKE(why);
		return -1;
	}
	take_slirp(outward, why);
	return 0;
}

/* Without one for now: annex-network waits for it. */
static void try_later(struct outward *outward)
{
	uint64_t wait = outward->deaths > 1 ? OUTWARD_AGAIN_MS : 0;

	for (unsigned i = 2; i < outward->deaths && wait < OUTWARD_AGAIN_MOST; i++)
		wait *= 2;
	loop_timer_restart(outward->again, time_scaled_ms(wait < OUTWARD_AGAIN_MOST ? wait : OUTWARD_AGAIN_MOST, 1));
}

static void on_again(struct loop_source *source, void *data)
{
	struct outward *outward = data;
	auto_error struct annex_error *why = NULL;
	auto_close int fd = -1;

	(void)source;
	if (start(outward, &fd, &why) == 0) {
		outward->callbacks->on_changed(fd, outward->data);
	} else if (wants(outward, "auto")) {
		take_slirp(outward, why);
		outward->callbacks->on_changed(-1, outward->data);
	} else {
		outward->deaths++;
		try_later(outward);
	}
}

static void on_carrier_ended(const struct annex_error *why, bool can_run, void *data)
{
	struct outward *outward = data;
	uint64_t now = time_monotonic_ms();

	carrier_free(TAKE(outward->carrier));
	outward->deaths = now - outward->died_at < OUTWARD_CALM_MS ? outward->deaths + 1 : 1;
	outward->died_at = now;
	if (wants(outward, "auto") && (!can_run || outward->deaths > OUTWARD_DEATHS_MAX)) {
		take_slirp(outward, why);
		outward->callbacks->on_changed(-1, outward->data);
		return;
	}
	log_info("%s: it is started anew", annex_error_message(why));
	try_later(outward);
	if (!can_run)
		outward->callbacks->on_broken(why, outward->data);
}

void outward_close(struct outward *outward)
{
	loop_timer_restart(outward->again, UINT64_MAX);
	carrier_free(TAKE(outward->carrier));
}

const char *outward_name(const struct outward *outward)
{
	if (wants(outward, "none"))
		return "none";
	return outward->slirp || wants(outward, "slirp") ? "slirp" : "passt";
}

pid_t outward_pid(const struct outward *outward)
{
	return outward ? carrier_pid(outward->carrier) : 0;
}

int outward_new(struct outward **ret, struct loop *loop, const char *wanted, uint32_t place,
		const struct outward_callbacks *callbacks, void *data, struct annex_error **err)
{
	struct outward *outward = calloc(1, sizeof(*outward));
	int result;

	if (!outward)
		return fail_memory(err);
	*outward =
		(struct outward){.loop = loop, .wanted = wanted, .place = place, .callbacks = callbacks, .data = data};
	result = loop_add_timer(&outward->again, loop, UINT64_MAX, on_again, outward);
	if (result < 0) {
		free(outward);
		return fail_os(err, result, "cannot prepare to run");
	}
	*ret = outward;
	return 0;
}

void outward_free(struct outward *outward)
{
	if (!outward)
		return;
	loop_source_free(outward->again);
	carrier_free(outward->carrier);
	free(outward);
}
