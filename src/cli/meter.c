/*
 * Speed and time left.
 *
 * Samples are taken twice a second. The speed is a moving average over some seconds; until so much time has passed it
 * is the plain average, so that the first sample does not count more than others. The time left is what was said before
 * less what has passed since, moved a part of the way towards what the speed says now: it counts down, and changes its
 * mind gradually.
 */
#include "cli/meter.h"

#define SAMPLE_MS  500
#define AVERAGE_MS 5000.0
#define PROMISE_MS 2000                 /* before that a promise would be a guess */
#define CORRECTION 0.2                  /* of the difference, per sample */
#define LONGEST_MS (48 * 3600 * 1000.0) /* more than that means that it stands still */

static void update_left(struct meter *meter, uint64_t now_ms, uint64_t spent, double remaining)
{
	double estimate = remaining / meter->rate;

	if (now_ms - meter->begin_ms < PROMISE_MS)
		return;
	if (meter->rate <= 0 || estimate > LONGEST_MS) {
		meter->promised = false;
		return;
	}
	if (meter->promised) {
		meter->left_ms -= (double)spent;
		meter->left_ms += (estimate - meter->left_ms) * CORRECTION;
	} else {
		meter->left_ms = estimate;
	}
	meter->promised = true;
}

void meter_update(struct meter *meter, uint64_t now_ms, uint64_t done, uint64_t total)
{
	uint64_t spent = now_ms - meter->sample_ms, whole = now_ms - meter->begin_ms;
	double weight, speed;

	/* What comes before the first byte is waiting, not slowness. */
	if (!meter->running || done < meter->sample_done || (!meter->fast && done == meter->sample_done)) {
		*meter = (struct meter){.running = true, .begin_ms = now_ms, .sample_ms = now_ms, .sample_done = done};
		return;
	}
	if (spent < SAMPLE_MS)
		return;
	speed = (double)(done - meter->sample_done) / (double)spent;
	weight = (double)spent / ((double)whole < AVERAGE_MS ? (double)whole : AVERAGE_MS);
	meter->rate += (speed - meter->rate) * (weight > 1 ? 1 : weight);
	meter->fast = true;
	update_left(meter, now_ms, spent, total > done ? (double)(total - done) : 0);
	meter->sample_ms = now_ms;
	meter->sample_done = done;
}

bool meter_rate(uint64_t *ret, const struct meter *meter)
{
	if (meter->fast)
		*ret = (uint64_t)(meter->rate * 1000);
	return meter->fast;
}

bool meter_left_ms(uint64_t *ret, const struct meter *meter, uint64_t now_ms)
{
	double left = meter->left_ms - (double)(now_ms - meter->sample_ms);

	if (meter->promised)
		*ret = left > 0 ? (uint64_t)left : 0;
	return meter->promised;
}
