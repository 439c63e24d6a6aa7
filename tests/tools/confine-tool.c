/*
 * Tries what a confined process must not be able to do: confine-tool PROGRAM HOW ATTEMPT FOLDER [PORT]
 *
 * PROGRAM: unpack, share or network, for its profile. HOW: free, confined, or one wall alone: landlock, filter. Prints
 * "ok" or the name of an errno; or is killed. Before it is confined it opens FOLDER/open for writing, makes
 * FOLDER/shared and FOLDER/fixed, which annex-share would share, the second one read-only, and starts a process to try
 * things on.
 */
#include "base/file.h"
#include "base/text.h"
#include "confine/confine.h"
#include "confine/filter.h"
#include "confine/landlock.h"
#include "network/profile.h"
#include "share/profile.h"
#include "unpack/profile.h"

#include <fcntl.h>
#include <linux/fs.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>

struct scene {
	int folder;        /* FOLDER, by its path only */
	int open;          /* FOLDER/open */
	int shared, fixed; /* FOLDER/shared, FOLDER/fixed, by their paths only */
	int stranger;      /* a TCP socket, not connected */
	pid_t victim;
	uint16_t port;
};

static int result_of(long result)
{
	return result < 0 ? -errno : 0;
}

static int open_file(struct scene *scene)
{
	(void)scene;
	return result_of(open("/etc/passwd", O_RDONLY | O_CLOEXEC));
}

static int open_again(struct scene *scene)
{
	char path[64];

	snprintf(path, sizeof(path), "/proc/self/fd/%d", scene->open);
	return result_of(open(path, O_RDONLY | O_CLOEXEC));
}

static int create(struct scene *scene)
{
	(void)scene;
	return result_of(open("new", O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600));
}

static int create_raw(struct scene *scene)
{
	(void)scene;
	return result_of(syscall(SYS_openat2, AT_FDCWD, "new", (uint64_t[]){O_WRONLY | O_CREAT, 0600, 0}, (size_t)24));
}

static int list(struct scene *scene)
{
	(void)scene;
	return result_of(open(".", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
}

static int make_folder(struct scene *scene)
{
	(void)scene;
	return result_of(mkdirat(AT_FDCWD, "folder", 0700));
}

static int make_link(struct scene *scene)
{
	(void)scene;
	return result_of(symlinkat("open", AT_FDCWD, "link"));
}

static int rename_file(struct scene *scene)
{
	(void)scene;
	return result_of(renameat2(AT_FDCWD, "open", AT_FDCWD, "renamed", 0));
}

static int remove_file(struct scene *scene)
{
	(void)scene;
	return result_of(unlinkat(AT_FDCWD, "open", 0));
}

static int change_mode(struct scene *scene)
{
	(void)scene;
	return result_of(chmod("open", 0666));
}

static int truncate_path(struct scene *scene)
{
	(void)scene;
	return result_of(truncate("open", 1));
}

static int ask_path(struct scene *scene)
{
	struct stat st;

	(void)scene;
	return result_of(stat("open", &st));
}

static int make_socket(struct scene *scene)
{
	(void)scene;
	return result_of(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
}

static int make_unix_socket(struct scene *scene)
{
	(void)scene;
	return result_of(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
}

static int make_multipath_socket(struct scene *scene)
{
	(void)scene;
	return result_of(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, IPPROTO_MPTCP));
}

static int make_netlink_socket(struct scene *scene)
{
	(void)scene;
	return result_of(socket(AF_NETLINK, SOCK_DGRAM | SOCK_CLOEXEC, 0));
}

static int connect_out(struct scene *scene)
{
	struct sockaddr_in to = {
		.sin_family = AF_INET, .sin_port = htons(scene->port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};

	return result_of(connect(scene->stranger, (struct sockaddr *)&to, sizeof(to)));
}

static int fork_process(struct scene *scene)
{
	pid_t pid = (pid_t)syscall(SYS_clone, SIGCHLD, NULL, NULL, NULL, NULL);

	(void)scene;
	if (pid == 0)
		_exit(0);
	return pid < 0 ? -errno : result_of(waitpid(pid, NULL, 0));
}

static int run_program(struct scene *scene)
{
	(void)scene;
	return result_of(execl("/bin/echo", "echo", "ok", NULL));
}

static int run_descriptor(struct scene *scene)
{
	(void)scene;
	return result_of(syscall(SYS_execveat, AT_FDCWD, "/bin/echo",
				 (char *[]){(char[]){"echo"}, (char[]){"ok"}, NULL}, NULL, 0));
}

static int kill_other(struct scene *scene)
{
	return result_of(kill(scene->victim, SIGCONT));
}

static int trace_other(struct scene *scene)
{
	return result_of(ptrace(PTRACE_SEIZE, scene->victim, NULL, NULL));
}

static int read_other(struct scene *scene)
{
	char bytes[16];
	struct iovec to = {bytes, sizeof(bytes)}, from = {(void *)scene, sizeof(bytes)};

	return result_of(process_vm_readv(scene->victim, &to, 1, &from, 1, 0));
}

static int unshare_user(struct scene *scene)
{
	(void)scene;
	return result_of(unshare(CLONE_NEWUSER));
}

static int mount_something(struct scene *scene)
{
	(void)scene;
	return result_of(mount("none", "missing", "tmpfs", 0, NULL));
}

static int ring(struct scene *scene)
{
	char parameters[256] = {0};

	(void)scene;
	return result_of(syscall(SYS_io_uring_setup, 1, parameters));
}

static int map_code(struct scene *scene)
{
	void *at = mmap(NULL, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	(void)scene;
	return at == MAP_FAILED ? -errno : 0;
}

static int turn_into_code(struct scene *scene)
{
	void *at = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	(void)scene;
	return at == MAP_FAILED ? -ENOMEM : result_of(mprotect(at, 4096, PROT_READ | PROT_EXEC));
}

static int memory_file(struct scene *scene)
{
	(void)scene;
	return result_of(memfd_create("x", MFD_CLOEXEC));
}

static int unknown_call(struct scene *scene)
{
	(void)scene;
	return result_of(syscall(SYS_inotify_init1, 0));
}

static int terminal(struct scene *scene)
{
	int size[2];

	return ioctl(scene->open, FIONREAD, size) < 0 ? -errno : 0;
}

static int set_flags(struct scene *scene)
{
	return result_of(fcntl(scene->open, F_SETFL, O_APPEND));
}

static int unlock(struct scene *scene)
{
	return result_of(flock(scene->open, LOCK_UN));
}

/* --- out of what is shared, and into what is fixed --- */

static int try_open(int folder, const char *path, int flags)
{
	int fd = openat(folder, path, flags | O_CLOEXEC, 0600);

	if (fd < 0)
		return -errno;
	close(fd);
	return 0;
}

static int go_up(struct scene *scene)
{
	return try_open(scene->shared, "../open", O_RDONLY);
}

static int follow_out(struct scene *scene)
{
	return try_open(scene->shared, "out", O_RDONLY);
}

static int by_descriptor(struct scene *scene)
{
	char path[64];

	snprintf(path, sizeof(path), "/proc/self/fd/%d/open", scene->folder);
	return try_open(AT_FDCWD, path, O_RDONLY);
}

static int by_root(struct scene *scene)
{
	(void)scene;
	return try_open(AT_FDCWD, "/proc/self/root/etc/passwd", O_RDONLY);
}

static int open_memory(struct scene *scene)
{
	char path[64];

	snprintf(path, sizeof(path), "/proc/%d/mem", (int)scene->victim);
	return try_open(AT_FDCWD, path, O_RDWR);
}

static int read_proc(struct scene *scene)
{
	char path[64];

	snprintf(path, sizeof(path), "/proc/%d/environ", (int)scene->victim);
	return try_open(AT_FDCWD, path, O_RDONLY);
}

/* Landlock tells some of these by EXDEV, as if they were on other file systems. */
static int moved(int result)
{
	return result < 0 && errno == EXDEV ? -EACCES : result_of(result);
}

static int link_in(struct scene *scene)
{
	return moved(linkat(scene->folder, "open", scene->shared, "got", 0));
}

static int rename_in(struct scene *scene)
{
	return moved(renameat2(scene->folder, "open", scene->shared, "got", 0));
}

static int rename_out(struct scene *scene)
{
	return moved(renameat2(scene->shared, "file", scene->folder, "got", 0));
}

static int write_fixed(struct scene *scene)
{
	return try_open(scene->fixed, "file", O_WRONLY);
}

static int truncate_fixed(struct scene *scene)
{
	return try_open(scene->fixed, "file", O_RDONLY | O_TRUNC);
}

static int create_fixed(struct scene *scene)
{
	return try_open(scene->fixed, "new", O_WRONLY | O_CREAT);
}

static int remove_fixed(struct scene *scene)
{
	return result_of(unlinkat(scene->fixed, "file", 0));
}

/* --- in what is shared --- */

static int read_fixed(struct scene *scene)
{
	int result = try_open(scene->fixed, "file", O_RDONLY);

	return result < 0 ? result : try_open(scene->fixed, ".", O_RDONLY | O_DIRECTORY);
}

static int work_inside(struct scene *scene)
{
	char path[64];
	int fd, result;

	if (mkdirat(scene->shared, "a", 0700) < 0 || mkdirat(scene->shared, "b", 0700) < 0 ||
	    renameat2(scene->shared, "file", scene->shared, "a/file", 0) < 0 ||
	    renameat2(scene->shared, "a/file", scene->shared, "b/file", 0) < 0 ||
	    linkat(scene->shared, "b/file", scene->shared, "a/again", 0) < 0 ||
	    symlinkat("file", scene->shared, "link") < 0 || mknodat(scene->shared, "pipe", S_IFIFO | 0600, 0) < 0)
		return -errno;
	fd = openat(scene->shared, "b/file", O_PATH | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	result = try_open(AT_FDCWD, path, O_RDWR | O_TRUNC);
	if (result == 0 && unlinkat(scene->shared, "b/file", 0) < 0)
		result = -errno;
	/* What has no name there any more is there all the same. */
	return result == 0 ? try_open(AT_FDCWD, path, O_RDWR) : result;
}

static int leave_folder(struct scene *scene)
{
	(void)scene;
	return result_of(unshare(CLONE_FS));
}

/* --- what must go on --- */

static int duplicate(struct scene *scene)
{
	return result_of(dup(scene->open));
}

static int use_file(struct scene *scene)
{
	struct stat st;
	char byte;

	if (pwrite(scene->open, "xyz", 3, 0) != 3 || ftruncate(scene->open, 1 << 20) < 0 || fsync(scene->open) < 0 ||
	    pread(scene->open, &byte, 1, 2) != 1 || fstat(scene->open, &st) < 0 ||
	    fallocate(scene->open, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 4096, 4096) < 0 ||
	    lseek(scene->open, 0, SEEK_DATA) < 0)
		return -errno;
	return byte == 'z' && st.st_size == 1 << 20 ? 0 : -EIO;
}

static void *in_thread(void *data)
{
	*(int *)data = 1;
	return data;
}

static int thread(struct scene *scene)
{
	pthread_t made[4];
	int done[4] = {0}, result = 0;

	(void)scene;
	for (int i = 0; i < 4 && result == 0; i++) {
		result = pthread_create(&made[i], NULL, in_thread, &done[i]);
		if (result == 0)
			pthread_join(made[i], NULL);
	}
	return result ? -result : done[3] ? 0 : -EIO;
}

static int allocate(struct scene *scene)
{
	(void)scene;
	for (size_t size = 1; size < (64u << 20); size *= 2) {
		auto_free char *memory = malloc(size);

		if (!memory)
			return -ENOMEM;
		memset(memory, 1, size);
	}
	return 0;
}

static int wait_a_little(struct scene *scene)
{
	struct pollfd wait = {.fd = scene->open, .events = POLLIN};
	struct timespec little = {0, 1000000};

	return nanosleep(&little, NULL) < 0 ? -errno : result_of(poll(&wait, 1, 1));
}

static int abort_self(struct scene *scene)
{
	(void)scene;
	abort();
}

static const struct {
	const char *name;
	int (*run)(struct scene *scene);
} attempts[] = {
	{"open", open_file},
	{"open-again", open_again},
	{"create", create},
	{"create-raw", create_raw},
	{"list", list},
	{"mkdir", make_folder},
	{"symlink", make_link},
	{"rename", rename_file},
	{"unlink", remove_file},
	{"chmod", change_mode},
	{"truncate", truncate_path},
	{"stat", ask_path},
	{"socket", make_socket},
	{"unix-socket", make_unix_socket},
	{"netlink-socket", make_netlink_socket},
	{"multipath-socket", make_multipath_socket},
	{"connect", connect_out},
	{"fork", fork_process},
	{"exec", run_program},
	{"execveat", run_descriptor},
	{"kill", kill_other},
	{"ptrace", trace_other},
	{"read-memory", read_other},
	{"unshare", unshare_user},
	{"mount", mount_something},
	{"io-uring", ring},
	{"map-code", map_code},
	{"make-code", turn_into_code},
	{"memfd", memory_file},
	{"unknown", unknown_call},
	{"ioctl", terminal},
	{"flags", set_flags},
	{"unlock", unlock},
	{"up", go_up},
	{"link-out", follow_out},
	{"descriptor", by_descriptor},
	{"root", by_root},
	{"memory", open_memory},
	{"environment", read_proc},
	{"link-in", link_in},
	{"rename-in", rename_in},
	{"rename-out", rename_out},
	{"fixed-write", write_fixed},
	{"fixed-truncate", truncate_fixed},
	{"fixed-create", create_fixed},
	{"fixed-remove", remove_fixed},
	{"fixed-read", read_fixed},
	{"inside", work_inside},
	{"umask", leave_folder},
	{"dup", duplicate},
	{"use-file", use_file},
	{"thread", thread},
	{"allocate", allocate},
	{"wait", wait_a_little},
	{"abort", abort_self},
};

/* Ends when we do. The death signal of the kernel would not do: with Landlock ours counts as a signal to outside. */
static int start_victim(struct scene *scene)
{
	int pipes[2];
	char byte;

	if (pipe2(pipes, O_CLOEXEC) < 0)
		return -1;
	scene->victim = fork();
	if (scene->victim == 0) {
		close(pipes[1]);
		close(STDOUT_FILENO);
		close(STDERR_FILENO);
		_exit(read(pipes[0], &byte, 1) < 0);
	}
	close(pipes[0]);
	return scene->victim;
}

/* A folder with a file. */
static int make_share(const char *name)
{
	auto_close int folder = mkdir(name, 0700) < 0 ? -1 : open(name, O_PATH | O_CLOEXEC);
	auto_close int file = openat(folder, "file", O_WRONLY | O_CREAT | O_CLOEXEC, 0600);

	return file < 0 ? -1 : TAKE_FD(folder);
}

static int set_up(struct scene *ret, int argc, char **argv)
{
	uint32_t port = 0;

	if (argc > 6 || (argc == 6 && text_to_u32(&port, argv[5], 10) < 0) || chdir(argv[4]) < 0)
		return -1;
	ret->port = (uint16_t)port;
	ret->open = open("open", O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	ret->stranger = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	ret->folder = open(".", O_PATH | O_CLOEXEC);
	ret->shared = make_share("shared");
	ret->fixed = make_share("fixed");
	if (ret->open < 0 || ret->stranger < 0 || ret->folder < 0 || ret->shared < 0 || ret->fixed < 0 ||
	    symlinkat("../open", ret->shared, "out") < 0)
		return -1;
	return start_victim(ret);
}

static int allow_shares(struct confinement *confinement, const struct scene *scene, struct annex_error **err)
{
	if (confinement->profile != &share_profile)
		return 0;
	if (confine_allow(confinement, scene->shared, true, err) < 0)
		return -1;
	return confine_allow(confinement, scene->fixed, false, err);
}

static int restrain(const char *program, const char *how, const struct scene *scene, struct annex_error **err)
{
	auto_confinement struct confinement confinement = {0};
	const struct confine_profile *profile = strcmp(program, "share") == 0     ? &share_profile
						: strcmp(program, "network") == 0 ? &network_profile
										  : &unpack_profile;

	if (strcmp(how, "free") == 0)
		return 0;
	if (confine_begin(&confinement, profile, err) < 0 || allow_shares(&confinement, scene, err) < 0)
		return -1;
	if (strcmp(how, "confined") == 0)
		return confine(&confinement, err);
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
		return fail_os(err, errno, "no_new_privs");
	if (strcmp(how, "filter") == 0)
		return filter_load(profile->filter, err);
	return landlock_enter(confinement.rules) < 0 ? fail_os(err, errno, "Landlock") : 0;
}

int main(int argc, char **argv)
{
	auto_error struct annex_error *error = NULL;
	struct scene scene = {.open = -1};

	if (argc == 2 && strcmp(argv[1], "support") == 0) {
		printf("%d %d\n", support_probe().landlock, support_probe().seccomp);
		return 0;
	}
	if (argc < 5 || set_up(&scene, argc, argv) < 0) {
		fprintf(stderr, "usage: confine-tool unpack|share|network free|confined|landlock|filter ATTEMPT FOLDER "
				"[PORT]\n");
		return 2;
	}
	if (restrain(argv[1], argv[2], &scene, &error) < 0) {
		fprintf(stderr, "%s\n", annex_error_message(error));
		return 2;
	}
	for (size_t i = 0; i < COUNT_OF(attempts); i++) {
		int result;
		const char *said;

		if (strcmp(attempts[i].name, argv[3]) != 0)
			continue;
		result = attempts[i].run(&scene);
		said = result == 0 ? "ok" : strerrorname_np(-result);
		dprintf(STDOUT_FILENO, "%s\n", said);
		_exit(0);
	}
	_exit(2);
}
