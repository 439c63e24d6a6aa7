#pragma once
#include "share/memory.h"
#include "share/request.h"
#include "share/ring.h"

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

/*
 * One queue of the device: a ring, its event descriptors, and the state in which the front end has it. The device's
 * thread sets it up, any number of workers serve it at once.
 */
struct queue;

/* Who serves: the same for all queues of a device. Called from workers, without any lock. */
struct queue_server {
	/* As in struct device_options. */
	ssize_t (*serve)(struct share_request *request, void *data);
	void *data;
	/* The guest broke the rules. `err` stays the caller's. */
	void (*broken)(void *device, const struct annex_error *err);
	void *device;
};

/* `poll` is the workers' epoll descriptor, where the queue watches for kicks while it is not stopped. `patient`: nobody
 * waits for what comes by it, so it is looked after a few times in a while when there is much. */
MUST_USE int queue_new(struct queue **ret, const struct queue_server *server, int poll, bool patient,
		       struct annex_error **err);
/* It must be stopped, and the workers gone. NULL is allowed. */
void queue_free(struct queue *queue);

/* Workers: take requests and serve them until there are none, or others should have their turn. `chain` is the worker's
 * scratch space. */
void queue_serve(struct queue *queue, struct ring_chain *chain);

/* The device's thread. Size and base are for stopped queues. */
bool queue_is_started(struct queue *queue);
void queue_set_size(struct queue *queue, unsigned size);
void queue_set_base(struct queue *queue, uint16_t base);
void queue_set_addresses(struct queue *queue, const struct ring_addresses *addresses);
void queue_set_memory(struct queue *queue, struct memory *memory);
void queue_set_enabled(struct queue *queue, bool enabled);
/* Eventfds, taken even on failure; a negative one is none. */
void queue_set_call(struct queue *queue, int fd);
void queue_set_error(struct queue *queue, int fd);
MUST_USE int queue_set_kick(struct queue *queue, int fd, struct annex_error **err);
/* After the kick, size and addresses are there: take requests from now on. */
MUST_USE int queue_start(struct queue *queue, bool event_index, bool indirect, struct annex_error **err);
/* Takes no more requests, and waits for those under way. Returns where to go on. A broken queue is whole again. */
uint16_t queue_stop(struct queue *queue);
/* Takes no more requests, nor gives any back, until it was stopped. Any thread. */
void queue_break(struct queue *queue);
