/* Fifos and sockets, which only have their names here. */
#include "posix.h"

#include <sys/socket.h>
#include <sys/un.h>

static void a_fifo_connects_two_processes(void)
{
	char text[8] = "";
	pid_t pid;
	int fd;

	OK(mkfifo("fifo", 0640));
	TRUE(S_ISFIFO(stat_of("fifo").st_mode));
	EQUAL(mode_of("fifo"), 0640);
	FAILS(ENXIO, open("fifo", O_WRONLY | O_NONBLOCK));
	pid = child_start();
	if (pid == 0) {
		EQUAL(write(opened("fifo", O_WRONLY), "text", 4), 4);
		child_end();
	}
	fd = opened("fifo", O_RDONLY);
	EQUAL(read(fd, text, 8), 4);
	SAME_TEXT(text, "text");
	EQUAL(read(fd, text, 8), 0);
	child_wait(pid);
	FAILS(ESPIPE, lseek(fd, 0, SEEK_SET));
	OK(rename("fifo", "moved"));
	TRUE(S_ISFIFO(stat_of("moved").st_mode));
	OK(link("moved", "second"));
	EQUAL(stat_of("second").st_nlink, 2);
	OK(unlink("moved"));
}

static struct sockaddr_un address(const char *name)
{
	struct sockaddr_un made = {.sun_family = AF_UNIX};

	strncpy(made.sun_path, name, sizeof(made.sun_path) - 1);
	return made;
}

static void a_socket_is_bound_and_connected_to(void)
{
	struct sockaddr_un there = address("socket");
	int listener = (int)OK(socket(AF_UNIX, SOCK_STREAM, 0)), client, server;
	char text[8] = "";

	OK(bind(listener, (struct sockaddr *)&there, sizeof(there)));
	TRUE(S_ISSOCK(stat_of("socket").st_mode));
	EQUAL(mode_of("socket"), 0755);
	OK(listen(listener, 5));
	FAILS(EADDRINUSE, bind((int)OK(socket(AF_UNIX, SOCK_STREAM, 0)), (struct sockaddr *)&there, sizeof(there)));
	FAILS(ENXIO, open("socket", O_RDWR));
	client = (int)OK(socket(AF_UNIX, SOCK_STREAM, 0));
	OK(connect(client, (struct sockaddr *)&there, sizeof(there)));
	server = (int)OK(accept(listener, NULL, NULL));
	EQUAL(write(client, "text", 4), 4);
	EQUAL(read(server, text, 8), 4);
	SAME_TEXT(text, "text");
	OK(rename("socket", "moved"));
	there = address("moved");
	client = (int)OK(socket(AF_UNIX, SOCK_STREAM, 0));
	OK(connect(client, (struct sockaddr *)&there, sizeof(there)));
	OK(close(listener));
	client = (int)OK(socket(AF_UNIX, SOCK_STREAM, 0));
	FAILS(ECONNREFUSED, connect(client, (struct sockaddr *)&there, sizeof(there)));
	OK(unlink("moved"));
}

static void datagrams_find_their_socket(void)
{
	struct sockaddr_un there = address("socket");
	int receiver = (int)OK(socket(AF_UNIX, SOCK_DGRAM, 0)), sender = (int)OK(socket(AF_UNIX, SOCK_DGRAM, 0));
	char text[8] = "";

	OK(bind(receiver, (struct sockaddr *)&there, sizeof(there)));
	EQUAL(sendto(sender, "text", 4, 0, (struct sockaddr *)&there, sizeof(there)), 4);
	EQUAL(read(receiver, text, 8), 4);
	SAME_TEXT(text, "text");
}

static void others_have_sockets_and_fifos_too(void)
{
	make_folder("folder");
	OK(chmod("folder", 01777));
	if (child_begin_as(OTHER, OTHER2)) {
		OK(chdir("folder"));
		a_socket_is_bound_and_connected_to();
		a_fifo_connects_two_processes();
		EQUAL(stat_of("second").st_uid, OTHER);
		EQUAL(stat_of("second").st_gid, OTHER2);
		child_end();
	}
	OK(chown("folder/second", OTHER2, OTHER));
	EQUAL(stat_of("folder/second").st_uid, OTHER2);
	OK(chmod("folder/second", 0622));
	EQUAL(mode_of("folder/second"), 0622);
	TRUE(S_ISFIFO(stat_of("folder/second").st_mode));
}

static const struct posix_case cases[] = {
	CASE(a_fifo_connects_two_processes),
	CASE(a_socket_is_bound_and_connected_to),
	CASE(datagrams_find_their_socket),
	CASE_FOR(FOR_ROOT, others_have_sockets_and_fifos_too),
};
GROUP(special);
