/* Two that watch each other: when one dies the other starts it again. For 20 s at most; both ignore SIGTERM. */
#include <fcntl.h>
#include <signal.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

int main(void)
{
    time_t end = time(NULL) + 20;
    signal(SIGTERM, SIG_IGN);
    signal(SIGCHLD, SIG_IGN);
    pid_t other = fork();
    if (other == 0)
        other = getppid();
    setsid();
    close(open("ready", O_CREAT | O_WRONLY, 0600));
    while (time(NULL) < end) {
        if (kill(other, 0)) {
            pid_t parent = getpid();
            other = fork();
            if (other == 0) {
                other = parent;
                setsid();
            }
        }
        usleep(500);
    }
    return 0;
}
