/* The resolver, and dnsmasq. */
#include "test.h"

#include "dns-servers.h"

#include <sys/prctl.h>
#include <sys/wait.h>

/* A real one: dnsmasq, on a port of its own, with a file of names that can be changed. */
struct dnsmasq {
	pid_t pid;
	uint16_t port;
	char folder[32], hosts[64];
};

static void write_hosts(struct dnsmasq *dnsmasq, const char *text)
{
	auto_close int fd = open(dnsmasq->hosts, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);

	assert_int_equal(write(fd, text, strlen(text)), (ssize_t)strlen(text));
}

static bool answers(uint16_t port)
{
	struct sockaddr_in at = loopback(port);
	auto_close int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	return connect(fd, (const struct sockaddr *)(const void *)&at, sizeof(at)) == 0;
}

static bool start_dnsmasq(struct dnsmasq *dnsmasq, const char *hosts, const char *records)
{
	char configuration[64], text[4096], argument[80];
	uint64_t give_up = time_monotonic_ms() + 30000;
	auto_close int probe = bind_to(SOCK_STREAM, 0), fd = -1;
	const char *const path = "/usr/sbin/dnsmasq";

	if (access(path, X_OK) < 0)
		return false;
	dnsmasq->port = bound_port(probe);
	cleanup_close(&probe);
	probe = -1;
	snprintf(dnsmasq->folder, sizeof(dnsmasq->folder), "/tmp/annex-dns-XXXXXX");
	assert_non_null(mkdtemp(dnsmasq->folder));
	assert_int_equal(chmod(dnsmasq->folder, 0755), 0);
	snprintf(dnsmasq->hosts, sizeof(dnsmasq->hosts), "%s/hosts", dnsmasq->folder);
	write_hosts(dnsmasq, hosts);
	snprintf(configuration, sizeof(configuration), "%s/configuration", dnsmasq->folder);
	snprintf(text, sizeof(text),
		 "no-resolv\nno-hosts\naddn-hosts=%s\nport=%u\nlisten-address=127.0.0.1\nbind-interfaces\n"
		 "pid-file=\nlocal-ttl=1\nedns-packet-max=4096\nuser=\nno-daemon\n%s",
		 dnsmasq->hosts, dnsmasq->port, records);
	fd = open(configuration, O_WRONLY | O_CREAT | O_CLOEXEC, 0644);
	assert_int_equal(write(fd, text, strlen(text)), (ssize_t)strlen(text));
	snprintf(argument, sizeof(argument), "--conf-file=%s", configuration);
	dnsmasq->pid = fork();
	if (dnsmasq->pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		close(STDOUT_FILENO);
		close(STDERR_FILENO);
		execl(path, path, argument, (char *)NULL);
		_exit(127);
	}
	while (!answers(dnsmasq->port) && time_monotonic_ms() < give_up)
		usleep(10000);
	return true;
}

static void stop_dnsmasq(struct dnsmasq *dnsmasq)
{
	char path[64];

	kill(dnsmasq->pid, SIGKILL);
	waitpid(dnsmasq->pid, NULL, 0);
	snprintf(path, sizeof(path), "%s/configuration", dnsmasq->folder);
	unlink(path);
	unlink(dnsmasq->hosts);
	rmdir(dnsmasq->folder);
}

static void use_dnsmasq(struct fixture *fixture, const struct dnsmasq *first, const struct dnsmasq *second)
{
	char texts[2][32];
	const char *servers[3] = {texts[0], second ? texts[1] : NULL};
	struct message_network_resolve resolve = {.servers = servers};

	snprintf(texts[0], sizeof(texts[0]), "127.0.0.1#%u", first->port);
	snprintf(texts[1], sizeof(texts[1]), "127.0.0.1#%u", second ? second->port : 0);
	assert_int_equal(dns_set_upstream(fixture->dns, &resolve), 0);
}

static void dnsmasq_answers_and_changes_its_answers(void **state)
{
	struct dnsmasq first = {0}, second = {0};
	struct fixture fixture;

	(void)state;
	if (!start_dnsmasq(&first, "192.0.2.10 changing.example\n", "cname=alias.example,changing.example\n"))
		skip();
	assert_true(start_dnsmasq(&second, "192.0.2.99 changing.example\n", ""));
	open_fixture(&fixture, 0, NULL);
	use_dnsmasq(&fixture, &first, &second);
	assert_string_equal(ask(&fixture, "alias.example"),
			    "0: alias.example changing.example changing.example 192.0.2.10");
	write_hosts(&first, "192.0.2.11 changing.example\n");
	kill(first.pid, SIGHUP);
	for (unsigned i = 0; !text_ends(ask(&fixture, "changing.example"), " 192.0.2.11"); i++) {
		assert_true(i < 1000);
		usleep(10000);
	}
	stop_dnsmasq(&first);
	assert_string_equal(ask(&fixture, "changing.example"), "0: changing.example 192.0.2.99");
	stop_dnsmasq(&second);
	assert_string_equal(ask(&fixture, "changing.example"), "2:");
	close_fixture(&fixture);
}

static void what_is_too_large_comes_by_tcp(void **state)
{
	struct dnsmasq dnsmasq = {0};
	struct fixture fixture;
	char records[3500];
	int used = 0, fd;

	(void)state;
	for (unsigned i = 0; i < 14; i++)
		used += snprintf(records + used, sizeof(records) - (size_t)used, "txt-record=big.example,%0200u\n", i);
	if (!start_dnsmasq(&dnsmasq, "", records))
		skip();
	open_fixture(&fixture, 0, NULL);
	use_dnsmasq(&fixture, &dnsmasq, NULL);
	{
		uint8_t message[1024];
		size_t size = write_question(message, 4, "big.example", ns_t_txt, 0);

		dns_query(fixture.dns, message, size, 1);
		wait_for_replies(&fixture, 1);
		assert_true(text_starts(fixture.said.data, "tc 0:"));
		assert_true(fixture.size <= QUESTION_UDP_SIZE);
		/* Who says that it takes more gets more. */
		size = write_question(message, 4, "big.example", ns_t_txt, 4096);
		dns_query(fixture.dns, message, size, 1);
		wait_for_replies(&fixture, 2);
		assert_true(text_starts(fixture.said.data, "0:") && fixture.size > 2800);
	}
	fd = connect_to(&fixture);
	send_by_tcp(fd, "big.example", 6, ns_t_txt);
	assert_int_equal(receive_answer(&fixture, fd), 6);
	assert_true(text_starts(fixture.said.data, "0: big.example type16/201") && fixture.size > 2800);
	close(fd);
	stop_dnsmasq(&dnsmasq);
	close_fixture(&fixture);
}

static void names_that_lead_to_the_host_are_taken_out_of_answers(void **state)
{
	static const char *const allow[] = {"*.example", NULL};
	struct dnsmasq dnsmasq = {0};
	struct fixture fixture;

	(void)state;
	if (!start_dnsmasq(&dnsmasq,
			   "192.0.2.10 mixed.example\n127.0.0.1 mixed.example\n127.0.0.1 evil.example\n"
			   "169.254.169.254 evil.example\n::ffff:127.0.0.1 evil.example\n",
			   "cname=alias.example,mixed.example\n"))
		skip();
	open_fixture(&fixture, NETWORK_ISOLATED, allow);
	use_dnsmasq(&fixture, &dnsmasq, NULL);
	assert_string_equal(ask(&fixture, "alias.example"), "0: alias.example mixed.example mixed.example 192.0.2.10");
	assert_string_equal(ask(&fixture, "evil.example"), "0:");
	assert_true(permitted(&fixture, "192.0.2.10"));
	assert_false(permitted(&fixture, "127.0.0.1") || permitted(&fixture, "169.254.169.254"));
	stop_dnsmasq(&dnsmasq);
	close_fixture(&fixture);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(dnsmasq_answers_and_changes_its_answers),
		cmocka_unit_test(what_is_too_large_comes_by_tcp),
		cmocka_unit_test(names_that_lead_to_the_host_are_taken_out_of_answers),
	};

	allow_many_sockets();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
