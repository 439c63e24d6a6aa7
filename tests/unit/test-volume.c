#include "test.h"

#include "machine/volume.h"

#include "base/text.h"

#include <limits.h>
#include <string.h>

static void a_volume_is_read_in_all_its_spellings(void **state)
{
	static const struct {
		const char *text, *host, *guest, *cache;
		bool read_only;
		const char *spelling;
	} rows[] = {
		{"/a:/b", "/a", "/b", "auto", false, "/a:/b"},
		{"/a:/b:ro", "/a", "/b", "auto", true, "/a:/b:ro"},
		{"/a:/b:rw", "/a", "/b", "auto", false, "/a:/b"},
		{"/a:/b:cache=none", "/a", "/b", "none", false, "/a:/b:cache=none"},
		{"/a:/b:cache=always,ro", "/a", "/b", "always", true, "/a:/b:ro,cache=always"},
		{"/a:/b:ro,cache=none,cache=none,ro", "/a", "/b", "none", true, "/a:/b:ro,cache=none"},
		{"//a/.//b/:/c//./d/.", "/a/b", "/c/d", "auto", false, "/a/b:/c/d"},
		{"/:/host", "/", "/host", "auto", false, "/:/host"},
		{"/a:/b:/c", "/a:/b", "/c", "auto", false, "/a:/b:/c"},
		{"/a:b:/c:ro", "/a:b", "/c", "auto", true, "/a:b:/c:ro"},
		{"/a b/..c:/d e/f..", "/a b/..c", "/d e/f..", "auto", false, "/a b/..c:/d e/f.."},
		{"/a:/process/x", "/a", "/process/x", "auto", false, "/a:/process/x"},
		{"/a:/run/hosts", "/a", "/run/hosts", "auto", false, "/a:/run/hosts"},
	};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		auto_volume struct volume volume = {0};
		auto_error struct annex_error *err = NULL;
		auto_free char *spelling = NULL;

		assert_int_equal(volume_parse(&volume, rows[i].text, &err), 0);
		assert_string_equal(volume.host, rows[i].host);
		assert_string_equal(volume.guest, rows[i].guest);
		assert_string_equal(volume.cache, rows[i].cache);
		assert_int_equal(volume.read_only, rows[i].read_only);
		spelling = volume_text(&volume);
		assert_string_equal(spelling, rows[i].spelling);
	}
}

static void each_mistake_has_its_own_line_and_shows_the_form(void **state)
{
	static const struct {
		const char *text, *says;
	} rows[] = {
		{"", "doesn't say where"},
		{"/a", "doesn't say where"},
		{"/a:", "doesn't say where"},
		{"/a:ro", "absolute path, not 'ro'"},
		{"/a:/b:rw,ro", "options rw and ro of a volume contradict each other"},
		{"/a:/b:cache=auto,ro,cache=none",
		 "options cache=auto and cache=none of a volume contradict each other"},
		{"/a:b/c", "absolute path, not 'b/c'"},
		{"a:/b", "absolute, not 'a'"},
		{":/b", "absolute, not ''"},
		{"~/a:/b", "absolute, not '~/a'"},
		{"/a:/b:", "'' is no option"},
		{"/a:/b:ro,", "'' is no option"},
		{"/a:/b:RO", "'RO' is no option"},
		{"/a:/b:cache=", "'cache=' is no option"},
		{"/a:/b:cache=autox", "'cache=autox' is no option"},
		{"/a:/b:cache=aut", "'cache=aut' is no option"},
		{"/a:/b:ro:rw", "'ro:rw' is no option"},
		{"/a:/b:c", "'c' is no option"},
		{"/a/../b:/c", "'/a/../b' has '..'"},
		{"/a:/b/..", "'/b/..' has '..'"},
		{"/a:/", "place of the machine's '/'"},
		{"/a:/./", "place of the machine's '/'"},
		{"/a:/proc", "/proc is the machine's own"},
		{"/a://proc/self", "/proc is the machine's own"},
		{"/a:/sys", "/sys is the machine's own"},
		{"/a:/dev/shm", "/dev is the machine's own"},
		{"/a:/run/host/x", "/run/host is the machine's own"},
		{"/a\nb:/c", "line break"},
		{"/a:/b\n", "line break"},
		{"/a:/\xff", "not UTF-8"},
	};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		auto_volume struct volume volume = {0};
		auto_error struct annex_error *err = NULL;

		assert_int_equal(volume_parse(&volume, rows[i].text, &err), -1);
		assert_int_equal(annex_error_kind(err), ANNEX_ERROR_USAGE);
		if (!strstr(annex_error_message(err), rows[i].says))
			assert_string_equal(annex_error_message(err), rows[i].says);
		assert_non_null(strstr(annex_error_hint(err), "HOST:GUEST[:OPTIONS]"));
		assert_null(volume.host);
	}
}

static void nothing_is_put_where_machines_delete_at_their_start(void **state)
{
	static const char *const places[] = {"/a:/tmp", "/a:/tmp/", "/a:/tmp/x:ro"};
	auto_volume struct volume beside = {0};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(places); i++) {
		auto_volume struct volume volume = {0};
		auto_error struct annex_error *err = NULL;

		assert_int_equal(volume_parse(&volume, places[i], &err), -1);
		assert_int_equal(annex_error_kind(err), ANNEX_ERROR_USAGE);
		assert_string_equal(annex_error_hint(err),
				    "choose a place outside of /tmp, which machines empty when they start");
	}
	assert_int_equal(volume_parse(&beside, "/a:/var/tmp", NULL), 0);
}

static void paths_are_as_long_as_the_system_takes_them(void **state)
{
	auto_text struct text text = {0};

	(void)state;
	for (unsigned more = 0; more < 2; more++) {
		auto_volume struct volume volume = {0};
		auto_error struct annex_error *err = NULL;

		text_clear(&text);
		text_add(&text, "/a:/");
		for (unsigned i = 0; i < PATH_MAX - 2 + more; i++)
			text_add_char(&text, i % 200 == 199 ? '/' : 'x');
		assert_int_equal(volume_parse(&volume, text.data, &err), more ? -1 : 0);
		if (more)
			assert_non_null(strstr(annex_error_message(err), "too long"));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_volume_is_read_in_all_its_spellings),
		cmocka_unit_test(each_mistake_has_its_own_line_and_shows_the_form),
		cmocka_unit_test(nothing_is_put_where_machines_delete_at_their_start),
		cmocka_unit_test(paths_are_as_long_as_the_system_takes_them),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
