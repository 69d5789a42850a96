/* Does its arguments one by one; every way of a child to escape is a list of them. Nothing lives longer than 60 s. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

static void last(void)
{
    for (int i = 0; i < 600; i++)
        usleep(100000);
    _exit(9);
}

static void await_ready(void)
{
    for (int i = 0; i < 100 && access("ready", F_OK); i++)
        usleep(100000);
}

static char self[4096];

/* `rest` is what follows the step; the element before it may be overwritten. */
static void step(const char *name, char **argv, char **rest)
{
    if (!strcmp(name, "child")) { /* a child goes on, the parent stays */
        if (fork())
            last();
    } else if (!strcmp(name, "vfork")) {
        if (vfork() == 0) {
            *--rest = self;
            execv(self, rest);
            _exit(8);
        }
        last();
    } else if (!strcmp(name, "fork")) { /* a child goes on, the parent exits with success when it is ready */
        if (fork()) {
            await_ready();
            exit(0);
        }
    } else if (!strcmp(name, "daemon")) { /* a child goes on, the parent exits at once */
        if (fork())
            _exit(0);
    } else if (!strcmp(name, "murder")) { /* a child goes on, the parent is killed when it is ready */
        if (fork()) {
            await_ready();
            raise(SIGKILL);
        }
    } else if (!strcmp(name, "setsid")) {
        setsid();
    } else if (!strcmp(name, "setpgid")) {
        setpgid(0, 0);
    } else if (!strcmp(name, "clear")) { /* no environment, another name, the rest of the steps as arguments */
        char *environment[] = {NULL};
        *--rest = "kworker/0:1";
        execve(self, rest, environment);
        _exit(8);
    } else if (!strcmp(name, "rename")) {
        prctl(PR_SET_NAME, "sshd");
        for (char **word = argv; *word; word++)
            memset(*word, 'x', strlen(*word));
    } else if (!strcmp(name, "leave")) {
        if (chdir("/"))
            _exit(8);
    } else if (!strcmp(name, "close")) {
        for (int fd = 0; fd < 1024; fd++)
            close(fd);
    } else if (!strcmp(name, "ignore")) {
        for (int number = 1; number < 65; number++)
            signal(number, SIG_IGN);
    } else if (!strcmp(name, "block")) {
        sigset_t all;
        sigfillset(&all);
        sigprocmask(SIG_SETMASK, &all, NULL);
    } else if (!strcmp(name, "nodump")) {
        prctl(PR_SET_DUMPABLE, 0);
    } else if (!strcmp(name, "ready")) { /* as the whole path is not known to one that left: before `leave` */
        FILE *file = fopen("ready.new", "w");
        fprintf(file, "%d\n", getpid());
        fclose(file);
        rename("ready.new", "ready");
    } else if (!strcmp(name, "stop")) {
        raise(SIGSTOP);
    } else if (!strcmp(name, "last")) {
        last();
    } else {
        fprintf(stderr, "no such step: %s\n", name);
        _exit(7);
    }
}

int main(int argc, char **argv)
{
    if (readlink("/proc/self/exe", self, sizeof self - 1) < 0)
        return 6;
    char **words = calloc(argc + 1, sizeof *words); /* a copy, for `rename` overwrites argv */
    for (int i = 0; i < argc; i++)
        words[i] = strdup(argv[i]);
    for (int i = 1; i < argc; i++)
        step(words[i], argv, words + i + 1);
    return 0;
}
