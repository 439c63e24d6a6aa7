#include "share-program.h"

#include "base/file.h"
#include "base/text.h"
#include "confine/support.h"
#include "share/fuse.h"
#include "share/profile.h"
#include "confine/rights.h"

#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>

/* A place with two folders and a file, of which tests share what they like. */
struct place {
	char path[64];
	struct program program;
	uint64_t unique;
};

static void put(const char *folder, const char *name, const char *text)
{
	auto_free char *path = path_join(folder, name);

	assert_non_null(path);
	assert_int_equal(file_write_atomic(AT_FDCWD, path, text, strlen(text), 0644), 0);
}

static int set_up(void **state)
{
	struct place *place = calloc(1, sizeof(*place));
	char name[96];

	assert_non_null(place);
	strcpy(place->path, "/var/tmp/annex-test-XXXXXX");
	assert_non_null(mkdtemp(place->path));
	for (int i = 0; i < 2; i++) {
		snprintf(name, sizeof(name), "%s/%s", place->path, i == 0 ? "one" : "two");
		assert_int_equal(mkdir(name, 0755), 0);
		put(name, "file", i == 0 ? "first" : "second");
	}
	put(place->path, "single", "alone");
	*state = place;
	return 0;
}

static int tear_down(void **state)
{
	struct place *place = *state;
	int result = file_remove_tree(AT_FDCWD, place->path);

	free(place);
	return result;
}

/* What is shared by the name of its last part; the descriptor is the caller's. */
static struct share_process_share share_of(const struct place *place, const char *name, char path[96])
{
	snprintf(path, 96, "%s/%s", place->path, name);
	return (struct share_process_share){
		.fd = open(path, O_PATH | O_CLOEXEC), .source = path, .options = {.name = name}};
}

static void begin(struct place *place, const char *name)
{
	char path[96];
	struct share_process_share share = share_of(place, name, path);

	program_begin(&place->program, geteuid(), &share, 1);
	close(share.fd);
}

static void add(struct place *place, const char *name)
{
	char path[96];
	struct share_process_share share = share_of(place, name, path);

	assert_int_equal(share_process_add(place->program.process, &share, NULL), 0);
	if (share.fd >= 0)
		close(share.fd);
}

static void remove_share(struct place *place, const char *name)
{
	assert_int_equal(share_process_remove(place->program.process, name, NULL), 0);
}

/* One request with a structure and a name; the error, and the answer behind its header. */
static int request(struct place *place, uint32_t code, uint64_t node, const void *arguments, size_t size,
		   const char *name, void *answer, size_t room)
{
	char in[4096], out[8192];
	struct fuse_in_header header = {.opcode = code, .nodeid = node, .unique = ++place->unique, .uid = geteuid()};
	struct fuse_out_header result;
	size_t used = sizeof(header), got;

	if (size > 0)
		memcpy(in + used, arguments, size);
	used += size;
	if (name)
		memcpy(in + used, name, strlen(name) + 1);
	used += name ? strlen(name) + 1 : 0;
	header.len = (uint32_t)used;
	memcpy(in, &header, sizeof(header));
	got = program_serve(&place->program, in, used, out, sizeof(result) + room);
	assert_true(got >= sizeof(result));
	memcpy(&result, out, sizeof(result));
	assert_int_equal(result.len, got);
	assert_int_equal(result.unique, header.unique);
	if (got > sizeof(result))
		memcpy(answer, out + sizeof(result), got - sizeof(result));
	return result.error;
}

/* What has no answer. */
static void silent(struct place *place, uint32_t code, uint64_t node, const void *arguments, size_t size)
{
	char in[256];
	struct fuse_in_header header = {.opcode = code, .nodeid = node, .len = (uint32_t)(sizeof(header) + size)};

	memcpy(in, &header, sizeof(header));
	memcpy(in + sizeof(header), arguments, size);
	assert_int_equal(program_serve(&place->program, in, header.len, in, 0), 0);
}

static void boot(struct place *place)
{
	struct fuse_init_in in = {.major = FUSE_KERNEL_VERSION, .minor = 38, .flags = UINT32_MAX};
	struct fuse_init_out out;

	program_start_queues(&place->program);
	assert_int_equal(request(place, FUSE_INIT, 0, &in, sizeof(in), NULL, &out, sizeof(out)), 0);
	assert_int_equal(out.major, FUSE_KERNEL_VERSION);
}

static int lookup(struct place *place, uint64_t folder, const char *name, uint64_t *ret)
{
	struct fuse_entry_out entry = {0};
	int error = request(place, FUSE_LOOKUP, folder, NULL, 0, name, &entry, sizeof(entry));

	if (error == 0 && entry.nodeid == 0)
		error = -ENOENT;
	*ret = entry.nodeid;
	return error;
}

static int read_node(struct place *place, uint64_t node, char text[64])
{
	struct fuse_open_in in = {.flags = O_RDONLY};
	struct fuse_open_out out;
	struct fuse_read_in wanted = {.size = 63};
	struct fuse_release_in release = {0};
	int error = request(place, FUSE_OPEN, node, &in, sizeof(in), NULL, &out, sizeof(out));

	memset(text, 0, 64);
	if (error < 0)
		return error;
	wanted.fh = release.fh = out.fh;
	error = request(place, FUSE_READ, node, &wanted, sizeof(wanted), NULL, text, 63);
	assert_int_equal(request(place, FUSE_RELEASE, node, &release, sizeof(release), NULL, &out, 0), 0);
	return error;
}

static void expect_file(struct place *place, const char *share, const char *content)
{
	char text[64];
	uint64_t node;

	assert_int_equal(lookup(place, FUSE_ROOT_ID, share, &node), 0);
	if (strcmp(share, "single") != 0)
		assert_int_equal(lookup(place, node, "file", &node), 0);
	assert_int_equal(read_node(place, node, text), 0);
	assert_string_equal(text, content);
}

static void what_is_shared_from_the_start_is_served(void **state)
{
	struct place *place = *state;
	uint64_t node;

	begin(place, "one");
	boot(place);
	expect_file(place, "one", "first");
	assert_int_equal(lookup(place, FUSE_ROOT_ID, "two", &node), -ENOENT);
	assert_true(share_process_pid(place->program.process) > 0);
	program_end(&place->program);
}

static void shares_come_and_go_while_it_serves(void **state)
{
	struct place *place = *state;
	uint64_t node, gone;
	char text[64];

	begin(place, "one");
	boot(place);
	add(place, "two");
	add(place, "single");
	program_wait(&place->program, 2);
	assert_int_equal(place->program.refused, 0);
	expect_file(place, "two", "second");
	expect_file(place, "single", "alone");
	assert_int_equal(lookup(place, FUSE_ROOT_ID, "two", &node), 0);
	assert_int_equal(lookup(place, node, "file", &gone), 0);
	remove_share(place, "two");
	program_wait(&place->program, 3);
	assert_int_equal(place->program.refused, 0);
	assert_int_equal(lookup(place, FUSE_ROOT_ID, "two", &node), -ENOENT);
	assert_int_equal(read_node(place, gone, text), -ESTALE);
	expect_file(place, "one", "first");
	expect_file(place, "single", "alone");
	program_end(&place->program);
}

static void answers_come_in_order_and_say_what_was_wrong(void **state)
{
	struct place *place = *state;

	begin(place, "one");
	add(place, "one"); /* before it serves */
	remove_share(place, "nothing");
	add(place, "two");
	program_wait(&place->program, 1);
	assert_int_equal(annex_error_kind(place->program.refusal), ANNEX_ERROR_EXISTS);
	program_wait(&place->program, 2);
	assert_int_equal(annex_error_kind(place->program.refusal), ANNEX_ERROR_NOT_FOUND);
	assert_string_equal(annex_error_message(place->program.refusal), "there is no share 'nothing'");
	program_wait(&place->program, 3);
	assert_null(place->program.refusal);
	program_end(&place->program);
}

static void a_share_that_is_none_ends_it_before_it_serves(void **state)
{
	struct place *place = *state;
	char path[96];
	struct share_process_share shares[] = {share_of(place, "one", path), share_of(place, "one", path)};

	program_begin(&place->program, 0, shares, 2);
	program_wait_end(&place->program);
	assert_string_equal(annex_error_message(place->program.why), "there is a share 'one' already");
	assert_int_equal(share_process_remove(place->program.process, "one", NULL), -1);
	close(shares[0].fd);
	close(shares[1].fd);
	program_end(&place->program);
}

static void that_the_front_end_goes_is_no_failure(void **state)
{
	struct place *place = *state;

	begin(place, "one");
	boot(place);
	shutdown(place->program.machine.socket, SHUT_RDWR);
	program_wait_end(&place->program);
	assert_null(place->program.why);
	program_end(&place->program);
}

static void a_front_end_that_breaks_the_protocol_is_told(void **state)
{
	struct place *place = *state;
	uint32_t nonsense[3] = {77, 1, 0};

	begin(place, "one");
	boot(place);
	assert_int_equal(send(place->program.machine.socket, nonsense, sizeof(nonsense), 0), sizeof(nonsense));
	program_wait_end(&place->program);
	assert_non_null(place->program.why);
	assert_true(
		text_starts(annex_error_message(place->program.why), "annex-share ended with status 1: vhost-user"));
	program_end(&place->program);
}

static void its_death_is_told_with_the_signal(void **state)
{
	struct place *place = *state;
	char path[96];
	struct share_process_share share = share_of(place, "two", path);
	int asked;

	begin(place, "one");
	boot(place);
	kill(share_process_pid(place->program.process), SIGKILL);
	asked = share_process_add(place->program.process, &share, NULL); /* it can be asked until it has died */
	close(share.fd);
	program_wait_end(&place->program);
	assert_string_equal(annex_error_message(place->program.why), "annex-share was killed by signal 9 (Killed)");
	assert_int_equal(place->program.done, asked == 0 ? 1 : 0);
	assert_true(asked < 0 || place->program.refusal);
	program_end(&place->program);
}

static void a_guest_that_sends_no_fuse_loses_its_device_only(void **state)
{
	struct place *place = *state;
	struct lane *lane = &place->program.machine.lanes[PROGRAM_LANE];
	char text[64] = {0};

	begin(place, "one");
	boot(place);
	offer(&place->program.machine, lane, 0, "no FUSE at all");
	assert_true(is_readable(lane->error, PATIENCE));
	add(place, "two");
	program_wait(&place->program, 1);
	assert_int_equal(place->program.refused, 0);
	/* The driver resets it. */
	for (uint32_t i = 0; i < LANES; i++) {
		tell(&place->program.machine, VHOST_GET_VRING_BASE, 0, (uint32_t[]){i, 0}, 8, NULL, 0);
		hear(&place->program.machine, VHOST_GET_VRING_BASE, text, 8);
		driver_open(&place->program.machine.lanes[i].driver, place->program.machine.memory, 65536 * (i + 1),
			    RING, true);
		start_lane(&place->program.machine, i, 0);
	}
	expect_file(place, "one", "first");
	expect_file(place, "two", "second");
	program_end(&place->program);
}

/* --- further processes --- */

static bool has_landlock(void)
{
	return support_probe().landlock >= SHARE_LANDLOCK_LEAST;
}

/* Children of this process that serve. */
static unsigned servers(pid_t *ret_other, pid_t first)
{
	DIR *processes = opendir("/proc");
	struct dirent *entry;
	unsigned count = 0;

	assert_non_null(processes);
	while ((entry = readdir(processes))) {
		char path[300], text[512] = {0};
		auto_close int fd = -1;
		int parent = 0;
		uint32_t pid = 0;

		if (text_to_u32(&pid, entry->d_name, 10) < 0)
			continue;
		snprintf(path, sizeof(path), "/proc/%s/stat", entry->d_name);
		fd = open(path, O_RDONLY | O_CLOEXEC);
		if (fd < 0 || read(fd, text, sizeof(text) - 1) <= 0 || !strstr(text, "(annex-share) ") ||
		    strstr(text, "(annex-share) Z"))
			continue;
		parent = atoi(strstr(text, "(annex-share) ") + strlen("(annex-share) S "));
		if (parent != getpid())
			continue;
		count++;
		if ((pid_t)pid != first)
			*ret_other = (pid_t)pid;
	}
	closedir(processes);
	return count;
}

static void what_lies_within_is_served_by_the_same_process(void **state)
{
	struct place *place = *state;
	char path[96];
	struct share_process_share share = share_of(place, ".", path);
	pid_t other = 0;
	uint64_t node;

	share.options.name = "all";
	*strrchr(path, '/') = '\0';
	program_begin(&place->program, geteuid(), &share, 1);
	close(share.fd);
	boot(place);
	add(place, "two");
	add(place, "single");
	program_wait(&place->program, 2);
	assert_int_equal(place->program.refused, 0);
	expect_file(place, "two", "second");
	expect_file(place, "single", "alone");
	assert_int_equal(lookup(place, FUSE_ROOT_ID, "two", &node), 0);
	assert_int_equal(fuse_number_of(node), 0);
	assert_int_equal(servers(&other, share_process_pid(place->program.process)), 1);
	program_end(&place->program);
}

static void what_may_be_changed_needs_more_than_what_may_be_read(void **state)
{
	struct place *place = *state;
	char path[96];
	struct share_process_share share = share_of(place, "one", path);
	struct fuse_open_in in = {.flags = O_RDWR};
	struct fuse_open_out out;
	uint64_t node;

	share.options.read_only = true;
	program_begin(&place->program, geteuid(), &share, 1);
	boot(place);
	share.options = (struct share_options){.name = "again"};
	assert_int_equal(share_process_add(place->program.process, &share, NULL), 0);
	close(share.fd);
	program_wait(&place->program, 1);
	assert_int_equal(lookup(place, FUSE_ROOT_ID, "one", &node), 0);
	assert_int_equal(lookup(place, node, "file", &node), 0);
	assert_int_equal(request(place, FUSE_OPEN, node, &in, sizeof(in), NULL, &out, sizeof(out)), -EROFS);
	assert_int_equal(lookup(place, FUSE_ROOT_ID, "again", &node), 0);
	assert_int_equal(lookup(place, node, "file", &node), 0);
	assert_int_equal(request(place, FUSE_OPEN, node, &in, sizeof(in), NULL, &out, sizeof(out)), 0);
	assert_int_equal(fuse_number_of(node), has_landlock() ? 1 : 0);
	program_end(&place->program);
}

static void names_are_for_all_processes(void **state)
{
	struct place *place = *state;
	char path[96];
	struct share_process_share share = share_of(place, "two", path);

	begin(place, "one");
	boot(place);
	share.options.name = "one";
	assert_int_equal(share_process_add(place->program.process, &share, NULL), 0);
	share.options.name = "two";
	assert_int_equal(share_process_add(place->program.process, &share, NULL), 0);
	assert_int_equal(share_process_add(place->program.process, &share, NULL), 0);
	close(share.fd);
	program_wait(&place->program, 1);
	assert_int_equal(annex_error_kind(place->program.refusal), ANNEX_ERROR_EXISTS);
	program_wait(&place->program, 2);
	assert_null(place->program.refusal);
	program_wait(&place->program, 3);
	assert_int_equal(annex_error_kind(place->program.refusal), ANNEX_ERROR_EXISTS);
	expect_file(place, "one", "first");
	expect_file(place, "two", "second");
	program_end(&place->program);
}

static void files_don_t_move_between_processes(void **state)
{
	struct place *place = *state;
	struct fuse_rename2_in rename = {0};
	struct fuse_link_in link = {0};
	uint64_t one, two, file;

	begin(place, "one");
	add(place, "two");
	boot(place);
	program_wait(&place->program, 1);
	assert_int_equal(lookup(place, FUSE_ROOT_ID, "one", &one), 0);
	assert_int_equal(lookup(place, FUSE_ROOT_ID, "two", &two), 0);
	assert_int_equal(lookup(place, one, "file", &file), 0);
	for (int i = 0; i < 2; i++) {
		char in[sizeof(rename) + 8];

		rename.newdir = i == 0 ? two : one;
		memcpy(in, &rename, sizeof(rename));
		memcpy(in + sizeof(rename), "file", 5);
		assert_int_equal(
			request(place, FUSE_RENAME2, i == 0 ? one : two, in, sizeof(rename) + 5, "moved", in, 0),
			-EXDEV);
	}
	link.oldnodeid = file;
	assert_int_equal(request(place, FUSE_LINK, two, &link, sizeof(link), "linked", &link, 0), -EXDEV);
	expect_file(place, "one", "first");
	program_end(&place->program);
}

static void a_guest_that_starts_anew_finds_all_shares(void **state)
{
	struct place *place = *state;
	struct fuse_init_in in = {.major = FUSE_KERNEL_VERSION, .minor = 38, .flags = UINT32_MAX};
	struct fuse_init_out out;
	struct fuse_syncfs_in sync = {0};
	struct {
		struct fuse_batch_forget_in head;
		struct fuse_forget_one each[2];
	} forget = {.head = {.count = 2}, .each = {{0, 1}, {0, 1}}};
	struct fuse_getattr_in get = {0};
	struct fuse_attr_out attributes;

	begin(place, "one");
	boot(place);
	add(place, "two");
	program_wait(&place->program, 1);
	assert_int_equal(lookup(place, FUSE_ROOT_ID, "one", &forget.each[0].nodeid), 0);
	assert_int_equal(lookup(place, FUSE_ROOT_ID, "two", &forget.each[1].nodeid), 0);
	assert_int_equal(request(place, FUSE_SYNCFS, FUSE_ROOT_ID, &sync, sizeof(sync), NULL, &sync, 0), 0);
	silent(place, FUSE_BATCH_FORGET, 0, &forget, sizeof(forget));
	for (int i = 0; i < 2; i++)
		assert_int_equal(request(place, FUSE_GETATTR, forget.each[i].nodeid, &get, sizeof(get), NULL,
					 &attributes, sizeof(attributes)),
				 -ESTALE);
	assert_int_equal(lookup(place, FUSE_ROOT_ID, "two", &forget.each[1].nodeid), 0);
	assert_int_equal(request(place, FUSE_DESTROY, 0, NULL, 0, NULL, &out, 0), 0);
	assert_int_equal(request(place, FUSE_INIT, 0, &in, sizeof(in), NULL, &out, sizeof(out)), 0);
	assert_int_equal(request(place, FUSE_GETATTR, forget.each[1].nodeid, &get, sizeof(get), NULL, &attributes,
				 sizeof(attributes)),
			 -ESTALE);
	expect_file(place, "one", "first");
	expect_file(place, "two", "second");
	program_end(&place->program);
}

static void a_further_process_that_dies_takes_its_share_only(void **state)
{
	struct place *place = *state;
	pid_t other = 0;
	uint64_t node;
	char text[64];

	if (!has_landlock())
		return;
	begin(place, "one");
	boot(place);
	add(place, "two");
	program_wait(&place->program, 1);
	assert_int_equal(lookup(place, FUSE_ROOT_ID, "two", &node), 0);
	assert_int_equal(lookup(place, node, "file", &node), 0);
	assert_int_equal(servers(&other, share_process_pid(place->program.process)), 2);
	kill(other, SIGKILL);
	assert_int_equal(read_node(place, node, text), -EIO);
	silent(place, FUSE_FORGET, node, &(struct fuse_forget_in){1}, sizeof(struct fuse_forget_in));
	expect_file(place, "one", "first");
	assert_int_equal(lookup(place, FUSE_ROOT_ID, "two", &node), -EIO);
	remove_share(place, "two");
	program_wait(&place->program, 2);
	assert_null(place->program.refusal);
	assert_int_equal(lookup(place, FUSE_ROOT_ID, "two", &node), -ENOENT);
	add(place, "two");
	program_wait(&place->program, 3);
	expect_file(place, "two", "second");
	assert_false(place->program.ended);
	program_end(&place->program);
	assert_int_equal(servers(&other, 0), 0);
}

static void a_further_process_ends_with_its_share_and_with_the_first_one(void **state)
{
	struct place *place = *state;
	pid_t other = 0;

	if (!has_landlock())
		return;
	begin(place, "one");
	boot(place);
	add(place, "two");
	add(place, "single");
	program_wait(&place->program, 2);
	assert_int_equal(servers(&other, 0), 3);
	remove_share(place, "two");
	program_wait(&place->program, 3);
	assert_int_equal(servers(&other, 0), 2);
	expect_file(place, "single", "alone");
	kill(share_process_pid(place->program.process), SIGKILL);
	program_wait_end(&place->program);
	assert_int_equal(servers(&other, 0), 0);
	program_end(&place->program);
}

/* Sockets end with the last process that has them: this one hears by its end of a pair that the child's are gone. */
static void no_process_outlives_who_started_it(void **state)
{
	struct place *place = *state;
	int pair[2];
	char byte;
	pid_t pid;

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
	pid = fork();
	if (pid == 0) {
		char path[96];
		struct share_process_share share = share_of(place, "one", path);

		close(pair[0]);
		program_begin(&place->program, geteuid(), &share, 1);
		program_wait_device(&place->program);
		/* The device's connection is the supervisor's, and goes to whoever waits for its end. */
		assert_int_equal(rights_send(pair[1], "x", 1, &place->program.machine.socket, 1, 0), 1);
		kill(getpid(), SIGKILL);
	}
	close(pair[1]);
	{
		int device = -1;
		unsigned count = 0;
		struct pollfd ended = {.events = POLLIN};

		assert_int_equal(rights_receive(pair[0], &byte, 1, &device, &count, 1, 0), 1);
		assert_int_equal(waitpid(pid, NULL, 0), pid);
		ended.fd = device;
		assert_int_equal(poll(&ended, 1, PROGRAM_PATIENCE), 1);
		assert_int_equal(read(device, &byte, 1), 0);
		close(device);
	}
	close(pair[0]);
}

/* Folders keep their descriptors. What others send must arrive all the same. */
static void a_guest_that_opens_all_it_can_stops_nobody_else(void **state)
{
	struct place *place = *state;
	char path[96];
	struct share_process_share share = share_of(place, ".", path);
	struct fuse_open_in in = {.flags = O_DIRECTORY};
	struct fuse_open_out out;
	struct fuse_release_in release = {0};
	struct rlimit before;
	uint64_t top = 0, two = 0;
	int error = 0;

	assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &(struct rlimit){256, 256}), 0);
	share.options.name = "all";
	*strrchr(path, '/') = '\0';
	program_begin(&place->program, geteuid(), &share, 1);
	close(share.fd);
	boot(place);
	assert_int_equal(lookup(place, FUSE_ROOT_ID, "all", &top), 0);
	for (int i = 0; i < 256 && error == 0; i++)
		error = request(place, FUSE_OPENDIR, top, &in, sizeof(in), NULL, &out, sizeof(out));
	assert_int_equal(error, -EMFILE);
	add(place, "two");
	program_wait(&place->program, 1);
	assert_false(place->program.ended);
	assert_null(place->program.refusal);
	assert_int_equal(lookup(place, FUSE_ROOT_ID, "two", &two), 0);
	for (release.fh = 1; release.fh < 16; release.fh++)
		assert_int_equal(
			request(place, FUSE_RELEASEDIR, top, &release, sizeof(release), NULL, &out, sizeof(out)), 0);
	expect_file(place, "two", "second");
	program_end(&place->program);
	(void)setrlimit(RLIMIT_NOFILE, &before); /* as far as may be */
}

static void a_program_that_is_missing_is_told_at_once(void **state)
{
	const struct share_process_options options = {.program = "/nonexistent/annex-share", .queues = 1};
	auto_error struct annex_error *err = NULL;
	auto_loop struct loop *loop = NULL;
	struct share_process *process = NULL;
	int device = -1;

	(void)state;
	assert_int_equal(loop_new(&loop), 0);
	assert_int_equal(
		share_process_start(&process, &device, loop, &options, NULL, 0, &program_callbacks, NULL, &err), -1);
	assert_int_equal(annex_error_kind(err), ANNEX_ERROR_NOT_FOUND);
}

#define TEST(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(what_is_shared_from_the_start_is_served),
		TEST(shares_come_and_go_while_it_serves),
		TEST(answers_come_in_order_and_say_what_was_wrong),
		TEST(a_share_that_is_none_ends_it_before_it_serves),
		TEST(that_the_front_end_goes_is_no_failure),
		TEST(a_front_end_that_breaks_the_protocol_is_told),
		TEST(its_death_is_told_with_the_signal),
		TEST(a_guest_that_sends_no_fuse_loses_its_device_only),
		TEST(what_lies_within_is_served_by_the_same_process),
		TEST(what_may_be_changed_needs_more_than_what_may_be_read),
		TEST(names_are_for_all_processes),
		TEST(files_don_t_move_between_processes),
		TEST(a_guest_that_starts_anew_finds_all_shares),
		TEST(a_further_process_that_dies_takes_its_share_only),
		TEST(a_further_process_ends_with_its_share_and_with_the_first_one),
		TEST(no_process_outlives_who_started_it),
		cmocka_unit_test(a_program_that_is_missing_is_told_at_once),
		TEST(a_guest_that_opens_all_it_can_stops_nobody_else),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
