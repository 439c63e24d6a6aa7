#include "fuse-guest.h"

#include <linux/fs.h>
#include <pthread.h>
#include <stdlib.h>

/* Several threads work in the same folders of one server, each as a guest's CPU would. */
#define THREADS 4
#define ROUNDS  400

struct worker {
	struct guest *guest;
	unsigned random;
	pthread_t thread;
	int wrong; /* an error that no file system gives here */
};

static unsigned next(struct worker *worker)
{
	worker->random = worker->random * 1103515245u + 12345u;
	return worker->random >> 16;
}

/* Others may have been faster: that is right, everything else is not. */
static bool is_fine(struct worker *worker, int error)
{
	if (error >= 0)
		return true;
	if (error != -ENOENT && error != -EEXIST && error != -ESTALE && error != -ENOTEMPTY && error != -ENOTDIR &&
	    error != -EISDIR && error != -EINVAL)
		worker->wrong = error;
	return false;
}

static void use_file(struct worker *worker, uint64_t folder, const char *name)
{
	struct guest *guest = worker->guest;
	uint64_t node = 0, fh = 0;
	int n;

	if (!is_fine(worker, guest_create(guest, folder, name, O_RDWR, 0644, &node, &fh)))
		return;
	n = guest_write(guest, node, fh, 0, name, strlen(name));
	if (n != (int)strlen(name))
		worker->wrong = n;
	n = guest_read(guest, node, fh, 0, 64);
	if (n <= 0)
		worker->wrong = n ? n : -ENODATA;
	guest_release(guest, node, fh);
	guest_forget(guest, node, 1);
}

static void list(struct worker *worker, uint64_t folder)
{
	struct guest *guest = worker->guest;
	struct fuse_read_in in = {.size = 8192};
	uint64_t fh = 0;
	const char *at, *end;

	if (!is_fine(worker, guest_open_folder(guest, folder, &fh)))
		return;
	in.fh = fh;
	if (is_fine(worker, guest_ask(guest, FUSE_READDIRPLUS, folder, STRUCT(in), NOTHING, NOTHING))) {
		auto_free char *copy = malloc(guest->size + 1);

		assert_non_null(copy);
		memcpy(copy, guest->out + sizeof(struct fuse_out_header), guest->size);
		for (at = copy, end = copy + guest->size; at < end;) {
			const struct fuse_direntplus *entry = (const void *)at;

			at += FUSE_DIRENTPLUS_SIZE(entry);
			if (entry->entry_out.nodeid)
				guest_forget(guest, entry->entry_out.nodeid, 1);
		}
	}
	guest_release(guest, folder, fh);
}

static void one_round(struct worker *worker, const uint64_t folders[2])
{
	struct guest *guest = worker->guest;
	uint64_t folder = folders[next(worker) % 2], node = 0;
	char name[16], other[16];

	snprintf(name, sizeof(name), "n%u", next(worker) % 8);
	snprintf(other, sizeof(other), "n%u", next(worker) % 8);
	switch (next(worker) % 8) {
	case 0:
	case 1:
		use_file(worker, folder, name);
		break;
	case 2:
		is_fine(worker, guest_remove(guest, folder, name, false));
		break;
	case 3:
		is_fine(worker, guest_rename(guest, folder, name, folders[0], other, 0));
		break;
	case 4:
		is_fine(worker, guest_rename(guest, folder, name, folders[1], other, RENAME_EXCHANGE));
		break;
	case 5:
		list(worker, folder);
		break;
	case 6:
		if (is_fine(worker, guest_mkdir(guest, folder, name, 0755, &node))) {
			is_fine(worker, guest_mkdir(guest, node, "below", 0755, NULL));
			is_fine(worker, guest_remove(guest, node, "below", true));
			guest_forget(guest, node, 1);
		}
		is_fine(worker, guest_remove(guest, folder, name, true));
		break;
	default:
		if (is_fine(worker, guest_lookup(guest, folder, name, &node))) {
			is_fine(worker, guest_setattr(guest, node,
						      (struct fuse_setattr_in){.valid = FATTR_MODE, .mode = 0755}));
			guest_forget(guest, node, 1);
		}
		break;
	}
}

static uint64_t worker_folder[2];

static void *work(void *data)
{
	struct worker *worker = data;

	for (int i = 0; i < ROUNDS; i++)
		one_round(worker, worker_folder);
	return NULL;
}

static void workers_share_a_tree_without_harm(void **state)
{
	struct guest *guest = *state;
	struct worker workers[THREADS];
	unsigned before = open_descriptors();

	assert_int_equal(guest_mkdir(guest, guest->top, "a", 0755, &worker_folder[0]), 0);
	assert_int_equal(guest_mkdir(guest, guest->top, "b", 0755, &worker_folder[1]), 0);
	for (unsigned i = 0; i < THREADS; i++) {
		workers[i] = (struct worker){.guest = malloc(sizeof(*guest)), .random = i + 1};
		assert_non_null(workers[i].guest);
		memcpy(workers[i].guest, guest, sizeof(*guest));
		assert_int_equal(pthread_create(&workers[i].thread, NULL, work, &workers[i]), 0);
	}
	for (unsigned i = 0; i < THREADS; i++) {
		pthread_join(workers[i].thread, NULL);
		free(workers[i].guest);
		assert_int_equal(workers[i].wrong, 0);
	}
	/* Whatever they left is forgotten with the session. */
	guest_init(guest);
	assert_true(open_descriptors() <= before + 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {AS_BOTH(workers_share_a_tree_without_harm)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
