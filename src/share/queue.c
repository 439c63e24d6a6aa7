/*
 * Queues and how workers share them.
 *
 * All workers wait in one epoll for all queues, edge-triggered, so that one kick wakes one worker, which takes the
 * request and serves it itself: no hand-over between threads lies between a kick and its answer. Before it serves, with
 * the ring empty again, it asks the driver to kick for the next request, which another worker will then take; so a slow
 * request holds up none, also with a single queue, which is what guests use before Linux 6.10. When there is more in
 * the ring already, it wakes one further worker (and that one the next): one wake-up at most is under way for a queue,
 * so that short requests in a row are served by who is awake.
 *
 * Edge-triggered eventfds need not be read: each write is an event. Nobody who misses one misses a request, since a
 * worker leaves a queue only after ring_arm() has found it empty.
 *
 * Kicks and calls are what a short request costs most, so there are as few of them as can be. A worker that has nothing
 * more to do looks out for the next request for a moment (spin.c), with kicks left out meanwhile. On the queue of what
 * has no answer (FORGET comes in thousands) nobody waits: who has served some of it leaves it without kicks for
 * PATIENCE_MS, and calls once for all that it served; only when nothing came it is armed again.
 *
 * A request that has to wait for others (a lock that somebody holds) is parked: no worker waits with it. A timer wakes
 * one to try again, soon at first, then every PARKED_MAX_MS.
 * When the virtual machine is stopped and goes on, it waits further; when the driver begins anew, it is forgotten. Both
 * look alike to a back end, but for the ring: in one that goes on, as many chains are missing among the used ones.
 *
 * The lock covers the ring and the state, never a request being served. Parts of a request stay mapped by a reference
 * to the memory they were found in; the ring's own place is looked up again when memory changes. While a ring's memory
 * is gone (front ends replace regions one by one), answers wait for it.
 */
#include "share/queue.h"

#include "base/time.h"
#include "share/spin.h"

#include <assert.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/timerfd.h>

#define TURN          64 /* requests after which a worker looks at other queues */
#define PARKED_LIMIT  RING_SIZE_LIMIT
#define PARKED_MIN_MS 5
#define PARKED_MAX_MS 100
#define PATIENCE_MS   3 /* between looks at a patient queue */

/* A request under way: its parts are in the worker's chain, or its own when it is parked. */
struct job {
	uint16_t head;
	unsigned in_count;
	unsigned out_count;
	struct iovec *parts;
	struct memory *memory; /* that they are in */
	struct parked *parked;
};

struct parked {
	struct job job;
	struct parked *next;
	uint64_t due_ms;
	unsigned delay_ms;
	struct iovec parts[];
};

/* A descriptor to write to without a lock, while another one takes its place. */
struct event {
	unsigned refs;
	int fd;
};

struct queue {
	const struct queue_server *server;
	int poll, wake, kick, timer;

	pthread_mutex_t lock;
	pthread_cond_t changed; /* anything that somebody may wait for */
	struct ring ring;
	struct ring_addresses addresses;
	struct memory *memory;
	struct event *call, *error;
	unsigned serving; /* requests under way */
	bool started, enabled, broken;
	bool waking; /* a further worker is on its way */
	bool patient;
	uint64_t look_ms; /* when the timer has a worker look at a patient queue that is not armed; 0: it is armed */
	struct spin spin;
	struct parked *parked;
	unsigned parked_count; /* on the list or being tried again; atomic */
};

static void event_unref(struct event *event)
{
	if (!event || __atomic_sub_fetch(&event->refs, 1, __ATOMIC_ACQ_REL) > 0)
		return;
	close(event->fd);
	free(event);
}

/* Takes the descriptor. Without memory there is no event: as if the front end had sent none. */
static struct event *event_new(int fd)
{
	auto_close int owned = fd;
	struct event *event = fd < 0 ? NULL : calloc(1, sizeof(*event));

	if (event)
		*event = (struct event){.refs = 1, .fd = TAKE_FD(owned)};
	return event;
}

static struct event *event_ref(struct event *event)
{
	if (event)
		__atomic_add_fetch(&event->refs, 1, __ATOMIC_RELAXED);
	return event;
}

static void signal_fd(int fd)
{
	const uint64_t one = 1;

	/* A full counter, the only failure, is an event that is told already. */
	(void)!write(fd, &one, sizeof(one));
}

static int watch(const struct queue *queue, int fd)
{
	struct epoll_event event = {.events = EPOLLIN | EPOLLET, .data.ptr = (void *)queue};

	return epoll_ctl(queue->poll, EPOLL_CTL_ADD, fd, &event) < 0 ? -errno : 0;
}

static int open_events(struct queue *queue)
{
	int os;

	queue->kick = -EBADF;
	queue->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	queue->timer = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
	if (queue->wake < 0 || queue->timer < 0)
		return -errno;
	os = watch(queue, queue->wake);
	return os < 0 ? os : watch(queue, queue->timer);
}

static void close_events(struct queue *queue)
{
	cleanup_close(&queue->wake);
	cleanup_close(&queue->timer);
	cleanup_close(&queue->kick);
}

int queue_new(struct queue **ret, const struct queue_server *server, int poll, bool patient, struct annex_error **err)
{
	struct queue *queue = calloc(1, sizeof(*queue));
	int os;

	if (!queue)
		return fail_memory(err);
	queue->server = server;
	queue->poll = poll;
	queue->patient = patient;
	os = open_events(queue);
	if (os < 0) {
		close_events(queue);
		free(queue);
		return fail_os(err, os, "queue");
	}
	pthread_mutex_init(&queue->lock, NULL);
	pthread_cond_init(&queue->changed, NULL);
	*ret = queue;
	return 0;
}

static bool may_take(const struct queue *queue)
{
	return queue->started && queue->enabled && !queue->broken && ring_is_placed(&queue->ring);
}

/* Whether kicks and calls of the queue can be left out for a while. */
static bool is_unhurried(const struct queue *queue)
{
	return queue->patient && queue->ring.event_index;
}

/* With the lock. 1: taken; 0: nothing to take; -1: broken. */
static int take_from_ring(struct job *ret, struct queue *queue, struct ring_chain *chain, struct annex_error **err)
{
	int taken;

	do {
		taken = ring_take(&queue->ring, chain, err);
	} while (taken == 0 && !is_unhurried(queue) && !ring_arm(&queue->ring));
	if (taken <= 0)
		return taken;
	*ret = (struct job){
		.head = chain->head,
		.in_count = chain->in_count,
		.out_count = chain->out_count,
		.parts = chain->parts,
		.memory = memory_ref(queue->memory),
	};
	if (!is_unhurried(queue) && !ring_arm(&queue->ring) && !queue->waking) {
		queue->waking = true;
		signal_fd(queue->wake);
	}
	return 1;
}

/* With the lock. A parked request whose time has come. */
static bool take_parked(struct job *ret, struct queue *queue)
{
	uint64_t now = queue->parked ? time_monotonic_ms() : 0;

	for (struct parked **at = &queue->parked; *at; at = &(*at)->next) {
		struct parked *parked = *at;

		if (parked->due_ms > now)
			continue;
		*at = parked->next;
		*ret = parked->job;
		return true;
	}
	return false;
}

/* With the lock. As take_from_ring(). */
static int take(struct job *ret, struct queue *queue, struct ring_chain *chain, struct annex_error **err)
{
	int taken = 0;

	if (may_take(queue))
		taken = take_parked(ret, queue) ? 1 : take_from_ring(ret, queue, chain, err);
	if (taken > 0)
		queue->serving++;
	return taken;
}

static ssize_t serve(const struct queue *queue, const struct job *job, bool now)
{
	struct share_request request = {
		.in = job->parts,
		.in_count = job->in_count,
		.out = job->parts + job->in_count,
		.out_count = job->out_count,
		.now = now,
	};

	return queue->server->serve(&request, queue->server->data);
}

/* See to it that the request has a place of its own. False: it cannot wait. */
static bool may_park(struct queue *queue, struct job *job)
{
	unsigned count = job->in_count + job->out_count;
	struct parked *parked;

	if (job->parked)
		return true;
	if (__atomic_load_n(&queue->parked_count, __ATOMIC_RELAXED) >= PARKED_LIMIT)
		return false;
	parked = malloc(sizeof(*parked) + count * sizeof(*parked->parts));
	if (!parked)
		return false;
	job->parked = parked;
	*parked = (struct parked){.job = *job, .delay_ms = PARKED_MIN_MS};
	memcpy(parked->parts, job->parts, count * sizeof(*parked->parts));
	parked->job.parts = parked->parts;
	__atomic_add_fetch(&queue->parked_count, 1, __ATOMIC_RELAXED);
	return true;
}

static void job_end(struct queue *queue, struct job *job)
{
	memory_unref(job->memory);
	if (job->parked)
		__atomic_sub_fetch(&queue->parked_count, 1, __ATOMIC_RELAXED);
	free(job->parked);
}

/* With the lock. */
static void forget_parked(struct queue *queue)
{
	while (queue->parked) {
		struct job job = queue->parked->job;

		queue->parked = queue->parked->next;
		job_end(queue, &job);
	}
}

/* With the lock. The timer is set when the worker leaves the queue. */
static void park(struct queue *queue, struct parked *parked)
{
	parked->due_ms = time_monotonic_ms() + parked->delay_ms;
	parked->delay_ms = 2 * parked->delay_ms < PARKED_MAX_MS ? 2 * parked->delay_ms : PARKED_MAX_MS;
	parked->next = queue->parked;
	queue->parked = parked;
}

static void set_timer(const struct queue *queue)
{
	struct itimerspec when = {.it_value = {0}};
	uint64_t first = queue->look_ms ? queue->look_ms : UINT64_MAX;

	/* What may not be tried now waits for the event of who allows it again. */
	if ((!queue->parked && !queue->look_ms) || !may_take(queue))
		return;
	for (const struct parked *parked = queue->parked; parked; parked = parked->next)
		first = parked->due_ms < first ? parked->due_ms : first;
	when.it_value.tv_sec = (time_t)(first / 1000);
	when.it_value.tv_nsec = (long)(first % 1000) * 1000000;
	(void)timerfd_settime(queue->timer, TFD_TIMER_ABSTIME, &when, NULL);
}

/* With the lock. Returns the event to signal, or NULL. */
static struct event *give_back(struct queue *queue, uint16_t head, ssize_t size)
{
	while (queue->started && !queue->broken && !ring_is_placed(&queue->ring))
		pthread_cond_wait(&queue->changed, &queue->lock);
	if (size < 0 || queue->broken || !ring_is_placed(&queue->ring))
		return NULL;
	ring_put(&queue->ring, head, (uint32_t)size);
	return !is_unhurried(queue) && ring_wants_call(&queue->ring) ? event_ref(queue->call) : NULL;
}

/* Without the lock. */
static void serve_job(struct queue *queue, struct job *job, struct annex_error **err)
{
	ssize_t size = serve(queue, job, false);
	struct event *event = NULL;
	bool parks = size == -EAGAIN && may_park(queue, job);

	if (size == -EAGAIN && !parks)
		size = serve(queue, job, true);
	if (size < 0 && !parks)
		(void)fail_os(err, (int)size, "a request that is none");
	pthread_mutex_lock(&queue->lock);
	if (parks)
		park(queue, job->parked);
	else
		event = give_back(queue, job->head, size);
	if (--queue->serving == 0)
		pthread_cond_broadcast(&queue->changed);
	pthread_mutex_unlock(&queue->lock);
	if (event)
		signal_fd(event->fd);
	event_unref(event);
	if (!parks)
		job_end(queue, job);
}

/* With the lock, which it gives away meanwhile: looks out for the next request. True: there may be one. */
static bool look_out(struct queue *queue)
{
	uint16_t seen = queue->ring.next_available;
	struct memory *memory;
	const uint16_t *index;
	enum spin_result result = SPIN_CROWDED;
	uint64_t lost_ns = 0;

	if (is_unhurried(queue) || !may_take(queue) || !spin_begin(&queue->spin))
		return false;
	memory = memory_ref(queue->memory);
	index = &queue->ring.available->idx;
	pthread_mutex_unlock(&queue->lock);
	if (!spin_is_crowded(&lost_ns)) {
		/* Kicked now, another worker would come; until here, one should. */
		pthread_mutex_lock(&queue->lock);
		if (may_take(queue))
			ring_disarm(&queue->ring);
		pthread_mutex_unlock(&queue->lock);
		result = spin_look(index, seen, &lost_ns);
	}
	memory_unref(memory);
	pthread_mutex_lock(&queue->lock);
	spin_end(&queue->spin, result, lost_ns);
	return may_take(queue) && (result == SPIN_FOUND || !ring_arm(&queue->ring));
}

/* With the lock: the last worker leaves a patient queue. */
static struct event *leave_alone(struct queue *queue, bool served)
{
	queue->look_ms = 0;
	if (!is_unhurried(queue) || !may_take(queue))
		return NULL;
	if (served) {
		ring_disarm(&queue->ring);
		queue->look_ms = time_monotonic_ms() + PATIENCE_MS;
	} else if (!ring_arm(&queue->ring)) {
		signal_fd(queue->wake);
	}
	return ring_wants_call(&queue->ring) ? event_ref(queue->call) : NULL;
}

/* With the lock, which it gives away meanwhile. True: there may be more. */
static bool serve_turn(struct queue *queue, struct ring_chain *chain, unsigned *served, struct annex_error **err)
{
	int taken = 1;

	while (!*err && *served < TURN) {
		struct job job;

		taken = take(&job, queue, chain, err);
		if (taken == 0 && look_out(queue)) {
			taken = 1;
			continue;
		}
		if (taken <= 0)
			break;
		++*served;
		pthread_mutex_unlock(&queue->lock);
		serve_job(queue, &job, err);
		pthread_mutex_lock(&queue->lock);
	}
	return taken > 0;
}

void queue_serve(struct queue *queue, struct ring_chain *chain)
{
	auto_error struct annex_error *err = NULL;
	struct event *event = NULL;
	unsigned served = 0;

	pthread_mutex_lock(&queue->lock);
	queue->waking = false;
	spin_came(&queue->spin);
	if (serve_turn(queue, chain, &served, &err))
		signal_fd(queue->wake);
	else
		event = leave_alone(queue, served > 0);
	spin_left(&queue->spin);
	set_timer(queue);
	pthread_mutex_unlock(&queue->lock);
	if (event)
		signal_fd(event->fd);
	event_unref(event);
	if (err)
		queue->server->broken(queue->server->device, err);
}

/* With the lock: see to it that some worker looks at the new state. */
static void tell(struct queue *queue)
{
	pthread_cond_broadcast(&queue->changed);
	signal_fd(queue->wake);
}

static void place(struct queue *queue)
{
	if (queue->memory && ring_is_size(queue->ring.size))
		(void)ring_place(&queue->ring, queue->memory, &queue->addresses);
}

bool queue_is_started(struct queue *queue)
{
	bool started;

	pthread_mutex_lock(&queue->lock);
	started = queue->started;
	pthread_mutex_unlock(&queue->lock);
	return started;
}

void queue_set_size(struct queue *queue, unsigned size)
{
	pthread_mutex_lock(&queue->lock);
	queue->ring.size = size;
	place(queue);
	pthread_mutex_unlock(&queue->lock);
}

void queue_set_base(struct queue *queue, uint16_t base)
{
	pthread_mutex_lock(&queue->lock);
	/* Where it stopped: it may go on. */
	if (base != queue->ring.next_available || !queue->parked) {
		forget_parked(queue);
		ring_resume(&queue->ring, base);
	}
	pthread_mutex_unlock(&queue->lock);
}

void queue_set_addresses(struct queue *queue, const struct ring_addresses *addresses)
{
	pthread_mutex_lock(&queue->lock);
	queue->addresses = *addresses;
	place(queue);
	tell(queue);
	pthread_mutex_unlock(&queue->lock);
}

void queue_set_memory(struct queue *queue, struct memory *memory)
{
	struct memory *old;

	pthread_mutex_lock(&queue->lock);
	old = queue->memory;
	queue->memory = memory_ref(memory);
	place(queue);
	tell(queue);
	pthread_mutex_unlock(&queue->lock);
	memory_unref(old);
}

void queue_set_enabled(struct queue *queue, bool enabled)
{
	pthread_mutex_lock(&queue->lock);
	queue->enabled = enabled;
	tell(queue);
	pthread_mutex_unlock(&queue->lock);
}

/* Takes the descriptor. */
static void replace(struct queue *queue, struct event **slot, int fd)
{
	struct event *event = event_new(fd), *old;

	pthread_mutex_lock(&queue->lock);
	old = *slot;
	*slot = event;
	pthread_mutex_unlock(&queue->lock);
	event_unref(old);
}

void queue_set_call(struct queue *queue, int fd)
{
	/* For what was given back while nobody was to be called. */
	if (fd >= 0)
		signal_fd(fd);
	replace(queue, &queue->call, fd);
}

void queue_set_error(struct queue *queue, int fd)
{
	replace(queue, &queue->error, fd);
}

/* Only the device's thread knows the kick: workers get the queue with its events. */
static void drop_kick(struct queue *queue)
{
	if (queue->kick < 0)
		return;
	/* Others may have the same open file, so that closing it would not end the watch. */
	(void)epoll_ctl(queue->poll, EPOLL_CTL_DEL, queue->kick, NULL);
	close(TAKE_FD(queue->kick));
}

int queue_set_kick(struct queue *queue, int fd, struct annex_error **err)
{
	auto_close int owned = fd;
	int os = watch(queue, owned);

	if (os < 0)
		return fail_os(err, os, "vhost-user: cannot wait for kicks");
	drop_kick(queue);
	queue->kick = TAKE_FD(owned);
	return 0;
}

int queue_start(struct queue *queue, bool event_index, bool indirect, struct annex_error **err)
{
	bool placed;

	pthread_mutex_lock(&queue->lock);
	placed = ring_is_placed(&queue->ring);
	if (placed && !queue->started) {
		if (queue->parked && ring_used_index(&queue->ring) != queue->ring.next_used) {
			forget_parked(queue);
			ring_resume(&queue->ring, queue->ring.next_available);
		}
		queue->ring.event_index = event_index;
		queue->ring.indirect = indirect;
		queue->started = true;
		tell(queue);
	}
	pthread_mutex_unlock(&queue->lock);
	return placed ? 0 : fail(err, ANNEX_ERROR_CORRUPT, "vhost-user: a queue that is not in the guest's memory");
}

uint16_t queue_stop(struct queue *queue)
{
	uint16_t next;

	drop_kick(queue);
	pthread_mutex_lock(&queue->lock);
	queue->started = false;
	pthread_cond_broadcast(&queue->changed);
	while (queue->serving > 0)
		pthread_cond_wait(&queue->changed, &queue->lock);
	if (queue->broken)
		forget_parked(queue);
	queue->broken = false;
	next = queue->ring.next_available;
	pthread_mutex_unlock(&queue->lock);
	return next;
}

void queue_free(struct queue *queue)
{
	if (!queue)
		return;
	assert(queue->serving == 0);
	forget_parked(queue);
	close_events(queue);
	event_unref(queue->call);
	event_unref(queue->error);
	memory_unref(queue->memory);
	pthread_cond_destroy(&queue->changed);
	pthread_mutex_destroy(&queue->lock);
	free(queue);
}

void queue_break(struct queue *queue)
{
	struct event *event;

	pthread_mutex_lock(&queue->lock);
	queue->broken = queue->started;
	event = queue->broken ? event_ref(queue->error) : NULL;
	pthread_cond_broadcast(&queue->changed);
	pthread_mutex_unlock(&queue->lock);
	if (event)
		signal_fd(event->fd);
	event_unref(event);
}
