/* Every process forks again and again: 512 of them in the end, for 15 s, in case nobody ends it. */
#include <unistd.h>

int main(void)
{
    for (int generation = 0; generation < 9; generation++) {
        fork();
        usleep(150000);
    }
    sleep(15);
    return 0;
}
