/* The floor of a fan-out: one process that sends a message of so many bytes to so many TCP clients, so
 * many times, with nothing but the system's own call. Prints its port, waits for the clients, sends;
 * then prints seconds, and seconds of the processor. Arguments: clients, bytes, rounds. */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec + t.tv_nsec / 1e9;
}

static double computed(void) {
    struct rusage u;
    getrusage(RUSAGE_SELF, &u);
    return u.ru_utime.tv_sec + u.ru_stime.tv_sec + (u.ru_utime.tv_usec + u.ru_stime.tv_usec) / 1e6;
}

int main(int argc, char **argv) {
    if (argc != 4) return 2;
    int clients = atoi(argv[1]), bytes = atoi(argv[2]), rounds = atoi(argv[3]), one = 1;
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t length = sizeof address;
    int listening = socket(AF_INET, SOCK_STREAM, 0), *sockets = calloc(clients, sizeof(int));
    char *message = malloc(bytes);
    memset(message, 'x', bytes);
    if (bind(listening, (struct sockaddr *)&address, sizeof address) || listen(listening, 4096)) return 1;
    getsockname(listening, (struct sockaddr *)&address, &length);
    printf("%d\n", ntohs(address.sin_port));
    fflush(stdout);
    for (int i = 0; i < clients; i++) {
        sockets[i] = accept(listening, NULL, NULL);
        if (sockets[i] < 0) return 1;
        setsockopt(sockets[i], IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    }
    double began = now(), before = computed();
    for (int round = 0; round < rounds; round++)
        for (int i = 0; i < clients; i++)
            for (int sent = 0; sent < bytes;) {
                ssize_t n = send(sockets[i], message + sent, bytes - sent, MSG_NOSIGNAL);
                if (n <= 0) return 1;
                sent += n;
            }
    printf("%f %f\n", now() - began, computed() - before);
    return 0;
}
