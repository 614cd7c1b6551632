import java.io.IOException;
import java.util.Arrays;
import java.util.Map;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.atomic.AtomicBoolean;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.utils.AppInfoParser;

/** Apache Kafka's own client for Java: the verbs of ../README.md. */
public final class Client {
    public static void main(String[] arguments) throws Exception {
        String verb = arguments[0], broker = arguments[1], name = arguments[2];
        System.exit(switch (verb) {
            case "load" -> load(broker, name);
            case "relay" -> Transactions.relay(broker, name);
            default -> features(broker, name);
        });
    }

    /** A feature is done when its check returns. */
    interface Check {
        void run() throws Exception;
    }

    private static int features(String broker, String prefix) {
        System.out.println("version " + AppInfoParser.getVersion());
        Data data = new Data(broker, prefix);
        Groups groups = new Groups(data);
        Operations operations = new Operations(data, groups);
        int bad = 0;
        for (Map<String, Check> checks : Arrays.asList(data.checks(), groups.checks(), operations.checks(), new Transactions(data).checks(), new Refusals(data).checks())) {
            for (Map.Entry<String, Check> check : checks.entrySet()) {
                bad |= attempt(check.getKey(), check.getValue());
            }
        }
        return bad;
    }

    private static int attempt(String name, Check check) {
        try {
            check.run();
            System.out.println("ok " + name);
            return 0;
        } catch (Exception | AssertionError e) {
            Throwable cause = e instanceof ExecutionException ? e.getCause() : e;
            System.out.println("fail " + name + ": " + cause.toString().replace('\n', ' '));
            for (StackTraceElement at : e.getStackTrace()) {
                System.err.println("\tat " + at);
            }
            return 1;
        }
    }

    /** Many records are in flight: with idempotence, which is this client's default, none is lost or stored twice. */
    private static int load(String broker, String topic) throws InterruptedException {
        AtomicBoolean failed = new AtomicBoolean();
        try (KafkaProducer<String, String> producer = Data.producer(broker, Map.of("linger.ms", "1", "reconnect.backoff.max.ms", "500"))) {
            for (int i = 0; !Closed.standardInput(); i++) {
                String id = Integer.toString(i);
                producer.send(new ProducerRecord<>(topic, id), (at, error) -> {
                    if (error != null) {
                        System.err.println("not acknowledged: " + error);
                        failed.set(true);
                    } else {
                        System.out.println("acked " + id + " " + at.partition() + " " + at.offset());
                    }
                });
                Thread.sleep(1);
            }
            producer.flush();
        }
        return failed.get() ? 1 : 0;
    }

    /** Says whether standard input has ended, which only a blocked read can tell. */
    static final class Closed {
        private static final AtomicBoolean ENDED = new AtomicBoolean();

        static {
            Thread reader = new Thread(() -> {
                try {
                    System.in.transferTo(java.io.OutputStream.nullOutputStream());
                } catch (IOException e) {
                    System.err.println(e);
                }
                ENDED.set(true);
            });
            reader.setDaemon(true);
            reader.start();
        }

        static boolean standardInput() {
            return ENDED.get();
        }
    }
}
