/*
 * Tries what a confined process must not be able to do: confine-tool HOW ATTEMPT FOLDER [PORT]
 *
 * HOW: free, confined, or one wall alone: landlock, filter. Prints "ok" or the name of an errno; or is killed. Before
 * it is confined it opens FOLDER/open for writing, and starts a process to try things on.
 */
#include "base/file.h"
#include "base/text.h"
#include "confine/confine.h"
#include "confine/filter.h"
#include "confine/landlock.h"

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
	int open;     /* FOLDER/open */
	int stranger; /* a TCP socket, not connected */
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
	return result_of(mkdir("folder", 0700));
}

static int make_link(struct scene *scene)
{
	(void)scene;
	return result_of(symlink("open", "link"));
}

static int rename_file(struct scene *scene)
{
	(void)scene;
	return result_of(rename("open", "renamed"));
}

static int remove_file(struct scene *scene)
{
	(void)scene;
	return result_of(unlink("open"));
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
	return result_of(syscall(SYS_epoll_create1, 0));
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

static int set_up(struct scene *ret, int argc, char **argv)
{
	uint32_t port = 0;

	if (argc > 5 || (argc == 5 && text_to_u32(&port, argv[4], 10) < 0) || chdir(argv[3]) < 0)
		return -1;
	ret->port = (uint16_t)port;
	ret->open = open("open", O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	ret->stranger = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (ret->open < 0 || ret->stranger < 0)
		return -1;
	return start_victim(ret);
}

static int restrain(const char *how, struct annex_error **err)
{
	struct support support;
	int result;

	if (strcmp(how, "confined") == 0)
		return confine(&support, err);
	if (strcmp(how, "free") == 0)
		return 0;
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
		return fail_os(err, errno, "no_new_privs");
	if (strcmp(how, "filter") == 0)
		return filter_load(err);
	result = landlock_confine(landlock_abi());
	return result < 0 ? fail_os(err, result, "Landlock") : 0;
}

int main(int argc, char **argv)
{
	auto_error struct annex_error *error = NULL;
	struct scene scene = {.open = -1};

	if (argc == 2 && strcmp(argv[1], "support") == 0) {
		printf("%d %d\n", support_probe().landlock, support_probe().seccomp);
		return 0;
	}
	if (argc < 4 || set_up(&scene, argc, argv) < 0) {
		fprintf(stderr, "usage: confine-tool free|confined|landlock|filter ATTEMPT FOLDER [PORT]\n");
		return 2;
	}
	if (restrain(argv[1], &error) < 0) {
		fprintf(stderr, "%s\n", annex_error_message(error));
		return 2;
	}
	for (size_t i = 0; i < COUNT_OF(attempts); i++) {
		int result;
		const char *said;

		if (strcmp(attempts[i].name, argv[2]) != 0)
			continue;
		result = attempts[i].run(&scene);
		said = result == 0 ? "ok" : strerrorname_np(-result);
		dprintf(STDOUT_FILENO, "%s\n", said);
		_exit(0);
	}
	_exit(2);
}
