/*
 * Each thread waits for an event of any queue and serves that queue. The descriptor that ends them stays readable, so
 * that each of them sees it. Signals are for the other threads of the program.
 */
#include "share/workers.h"

#include "share/queue.h"

#include <assert.h>
#include <pthread.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>

struct worker {
	struct workers *workers;
	struct ring_chain chain;
	pthread_t thread;
};

struct workers {
	int poll, stop;
	unsigned count;
	struct worker *each[WORKERS_LIMIT];
};

int workers_new(struct workers **ret, struct annex_error **err)
{
	struct workers *workers = calloc(1, sizeof(*workers));
	struct epoll_event event = {.events = EPOLLIN, .data.ptr = NULL};

	if (!workers)
		return fail_memory(err);
	workers->poll = epoll_create1(EPOLL_CLOEXEC);
	workers->stop = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (workers->poll < 0 || workers->stop < 0 ||
	    epoll_ctl(workers->poll, EPOLL_CTL_ADD, workers->stop, &event) < 0) {
		(void)fail_os(err, errno, "workers");
		workers_free(workers);
		return -1;
	}
	*ret = workers;
	return 0;
}

int workers_poll(const struct workers *workers)
{
	return workers->poll;
}

static void *work(void *data)
{
	struct worker *worker = data;
	struct epoll_event event;

	for (;;) {
		int count = epoll_wait(worker->workers->poll, &event, 1, -1);

		assert(count >= 0 || errno == EINTR);
		if (count <= 0)
			continue;
		if (!event.data.ptr)
			return NULL;
		queue_serve(event.data.ptr, &worker->chain);
	}
}

static int start_one(struct workers *workers)
{
	struct worker *worker = calloc(1, sizeof(*worker));
	int os;

	if (!worker)
		return ENOMEM;
	worker->workers = workers;
	os = pthread_create(&worker->thread, NULL, work, worker);
	if (os != 0) {
		free(worker);
		return os;
	}
	workers->each[workers->count++] = worker;
	return 0;
}

int workers_start(struct workers *workers, unsigned count, struct annex_error **err)
{
	sigset_t all, before;
	int os = 0;

	assert(count <= WORKERS_LIMIT);
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	while (os == 0 && workers->count < count)
		os = start_one(workers);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	return os == 0 ? 0 : fail_os(err, os, "cannot start a thread");
}

void workers_free(struct workers *workers)
{
	const uint64_t one = 1;

	if (!workers)
		return;
	if (workers->count > 0)
		(void)!write(workers->stop, &one, sizeof(one));
	for (unsigned i = 0; i < workers->count; i++) {
		pthread_join(workers->each[i]->thread, NULL);
		free(workers->each[i]);
	}
	if (workers->poll >= 0)
		close(workers->poll);
	if (workers->stop >= 0)
		close(workers->stop);
	free(workers);
}
