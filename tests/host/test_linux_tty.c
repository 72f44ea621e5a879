/* The terminal's line discipline: editing, echo, modes, signals, and limits. */
#include "ktap.h"

#include <string.h>

#include "user/linux/tty.c"

static struct tty tty;
static char out[65536];
static size_t out_bytes;
static int signals, last_signal, readies;

static void put(struct tty *of, const char *text, size_t bytes)
{
    (void)of;
    if (bytes > sizeof(out) - out_bytes)
        bytes = sizeof(out) - out_bytes;
    memcpy(out + out_bytes, text, bytes);
    out_bytes += bytes;
}

static void note_signal(struct tty *of, int signal)
{
    (void)of;
    signals++;
    last_signal = signal;
}

static void note_ready(struct tty *of)
{
    (void)of;
    readies++;
}

static unsigned told;

static void note_told(struct tty *of, unsigned what)
{
    (void)of;
    told |= what;
}

static void start(void)
{
    told = 0;
    tty.tell = note_told;
    tty.put = put;
    tty.signal = note_signal;
    tty.ready = note_ready;
    tty_init(&tty);
}

static void type(const char *text)
{
    for (; *text; text++)
        tty_input(&tty, (unsigned char)*text);
}

static void expect_out(const char *text)
{
    EXPECT_EQ(out_bytes, strlen(text));
    EXPECT(memcmp(out, text, out_bytes) == 0);
    out_bytes = 0;
}

static void expect_line(const char *text)
{
    char line[128];
    long got = tty_read(&tty, line, sizeof(line));

    EXPECT_EQ(got, strlen(text));
    EXPECT(memcmp(line, text, (size_t)got) == 0);
}

static void set_raw(unsigned char minimum, unsigned char tenths)
{
    struct linux_termios termios = tty.termios;

    termios.iflag = 0;
    termios.oflag = 0;
    termios.lflag = 0;
    termios.cc[LINUX_VMIN] = minimum;
    termios.cc[LINUX_VTIME] = tenths;
    tty_set_termios(&tty, &termios, false);
}

KTAP_CASE(a_line_is_read_only_when_complete)
{
    char line[16];

    start();
    type("ab");
    EXPECT_EQ(tty_read(&tty, line, sizeof(line)), -LINUX_EAGAIN);
    EXPECT_EQ(readies, 0);
    type("c\r");
    EXPECT_EQ(readies, 1);
    expect_line("abc\n");
    expect_out("abc\r\n");
}

KTAP_CASE(each_read_gives_one_line)
{
    start();
    type("one\ntwo\n");
    EXPECT_EQ(tty_readable(&tty), 4);
    expect_line("one\n");
    expect_line("two\n");
    EXPECT_EQ(tty_readable(&tty), 0);
}

KTAP_CASE(a_short_read_leaves_the_rest)
{
    char part[3];

    start();
    type("hello\n");
    EXPECT_EQ(tty_read(&tty, part, 3), 3);
    EXPECT(memcmp(part, "hel", 3) == 0);
    expect_line("lo\n");
}

KTAP_CASE(erase_kill_and_word_erase)
{
    start();
    type("abd\177c\n");
    expect_line("abc\n");
    expect_out("abd\b \bc\r\n");
    type("wrong\025right\n");
    expect_line("right\n");
    out_bytes = 0;
    type("two words \027x\n");
    expect_line("two x\n");
}

KTAP_CASE(erase_at_the_start_does_nothing)
{
    start();
    type("\177\177a\n");
    expect_line("a\n");
    expect_out("a\r\n");
}

KTAP_CASE(erase_takes_whole_characters)
{
    start();
    type("a\303\251\177b\n"); /* a, e acute */
    expect_line("ab\n");
    expect_out("a\303\251\b \bb\r\n");
}

KTAP_CASE(erase_of_a_tab_and_of_a_control_character)
{
    start();
    type("a\t\177b");
    expect_out("a\t\b \b\b \b\b \b\b \b\b \b\b \b\b \bb");
    type("\001\177\n");
    expect_out("^A\b \b\b \b\r\n");
    expect_line("ab\n");
}

KTAP_CASE(end_of_file_on_an_empty_line)
{
    start();
    type("\004");
    expect_line("");
    type("ab\004");
    expect_line("ab");
    type("c\n");
    expect_line("c\n");
}

KTAP_CASE(end_of_file_behind_a_full_read_is_not_read_twice)
{
    char part[2];

    start();
    type("ab\004");
    EXPECT_EQ(tty_read(&tty, part, 2), 2);
    EXPECT_EQ(tty_read(&tty, part, 2), -LINUX_EAGAIN);
}

KTAP_CASE(interrupt_drops_the_line)
{
    start();
    type("abc\003");
    EXPECT_EQ(signals, 1);
    EXPECT_EQ(last_signal, LINUX_SIGINT);
    type("d\n");
    expect_line("d\n");
    type("\034");
    EXPECT_EQ(last_signal, LINUX_SIGQUIT);
    type("\032");
    EXPECT_EQ(last_signal, LINUX_SIGTSTP);
}

KTAP_CASE(flow_control_characters_disappear)
{
    start();
    type("a\023\021b\n");
    expect_line("ab\n");
    EXPECT_EQ(told, LINUX_TIOCPKT_STOP | LINUX_TIOCPKT_START);
}

KTAP_CASE(echo_waits_while_output_is_held)
{
    start();
    type("\023ab");
    EXPECT(tty.held);
    expect_out("");
    type("\021");
    EXPECT(!tty.held);
    expect_out("ab");
    type("\023");
    for (unsigned i = 0; i < 2 * TTY_ECHO_MAX; i++)
        type("x");
    type("\021");
    EXPECT_EQ(out_bytes, TTY_ECHO_MAX);
}

KTAP_CASE(a_signal_lets_output_go_on)
{
    start();
    type("\023a");
    EXPECT(tty.held);
    type("\003");
    EXPECT(!tty.held && signals == 1);
    expect_out("^C"); /* and the echo from before went with the line */
    type("\023b");
    EXPECT(tty.held);
    tty.termios.iflag |= LINUX_IXANY;
    type("c");
    EXPECT(!tty.held);
}

KTAP_CASE(what_a_call_holds_only_a_call_lets_go)
{
    struct linux_termios termios;

    start();
    tty_hold(&tty, true);
    type("\021");
    EXPECT(tty.held);
    termios = tty.termios;
    termios.iflag &= ~(uint32_t)LINUX_IXON;
    tty_set_termios(&tty, &termios, false);
    EXPECT(tty.held && (told & LINUX_TIOCPKT_NOSTOP));
    tty_hold(&tty, false);
    EXPECT(!tty.held);
    termios.iflag |= LINUX_IXON;
    tty_set_termios(&tty, &termios, false);
    EXPECT(told & LINUX_TIOCPKT_DOSTOP);
    type("\023");
    EXPECT(tty.held);
    tty_hold(&tty, false); /* nothing was held by a call */
    EXPECT(tty.held);
    termios.iflag &= ~(uint32_t)LINUX_IXON;
    tty_set_termios(&tty, &termios, false);
    EXPECT(!tty.held);
    out_bytes = 0;
    tty_send_flow(&tty, true);
    tty_send_flow(&tty, false);
    expect_out("\023\021");
}

KTAP_CASE(raw_mode_gives_bytes_as_they_come)
{
    char bytes[8];

    start();
    set_raw(1, 0);
    EXPECT_EQ(tty_read(&tty, bytes, 8), -LINUX_EAGAIN);
    type("\003\r\004");
    EXPECT_EQ(signals, 0);
    EXPECT_EQ(tty_read(&tty, bytes, 8), 3);
    EXPECT(memcmp(bytes, "\003\r\004", 3) == 0);
    expect_out("");
}

KTAP_CASE(raw_minimum)
{
    char bytes[8];

    start();
    set_raw(3, 0);
    type("ab");
    EXPECT(!tty_has_input(&tty));
    EXPECT_EQ(tty_read(&tty, bytes, 8), -LINUX_EAGAIN);
    EXPECT_EQ(tty_read(&tty, bytes, 2), 2);
    set_raw(0, 0);
    EXPECT_EQ(tty_read(&tty, bytes, 8), 0);
    EXPECT_EQ(tty_read_timeout(&tty), 0);
    set_raw(0, 5);
    EXPECT_EQ(tty_read_timeout(&tty), 5);
    set_raw(1, 5);
    EXPECT_EQ(tty_read_timeout(&tty), 0);
}

KTAP_CASE(what_was_typed_survives_a_change_of_mode)
{
    start();
    type("ab");
    set_raw(1, 0);
    EXPECT_EQ(tty_readable(&tty), 2);
    expect_line("ab");
    type("cd");
    tty_init(&tty);
    EXPECT_EQ(tty_readable(&tty), 0);
}

KTAP_CASE(output_processing)
{
    start();
    tty_write(&tty, "a\nb\n", 4);
    expect_out("a\r\nb\r\n");
    EXPECT_EQ(tty.column, 0);
    tty_write(&tty, "abc", 3);
    EXPECT_EQ(tty.column, 3);
    set_raw(1, 0);
    tty_write(&tty, "\n", 1);
    out_bytes = 0;
    tty_write(&tty, "a\n", 2);
    expect_out("a\n");
}

KTAP_CASE(a_full_line_can_still_be_ended)
{
    static char line[TTY_INPUT_MAX + 1];

    start();
    for (int i = 0; i < 2 * TTY_INPUT_MAX; i++)
        tty_input(&tty, 'x');
    type("\n");
    EXPECT_EQ(tty_read(&tty, line, sizeof(line)), TTY_INPUT_MAX);
    EXPECT_EQ(line[TTY_INPUT_MAX - 1], '\n');
    type("y\n");
    expect_line("y\n");
}

/* Against a plain model of a line: random typing, then what the reads give. */
KTAP_CASE(random_typing_matches_a_model)
{
    static char model[TTY_INPUT_MAX], line[TTY_INPUT_MAX];

    start();
    for (int round = 0; round < 2000; round++) {
        size_t bytes = 0;
        for (uint64_t i = ktap_random_below(60); i > 0; i--) {
            uint64_t kind = ktap_random_below(10);
            if (kind == 0) {
                type("\177");
                bytes -= bytes > 0;
            } else if (kind == 1 && ktap_random_below(5) == 0) {
                type("\025");
                bytes = 0;
            } else {
                char c = (char)('a' + ktap_random_below(26));
                tty_input(&tty, (unsigned char)c);
                model[bytes++] = c;
            }
        }
        type("\n");
        model[bytes++] = '\n';
        EXPECT_EQ(tty_read(&tty, line, sizeof(line)), bytes);
        EXPECT(memcmp(line, model, bytes) == 0);
        out_bytes = 0;
    }
}
