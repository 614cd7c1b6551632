import java.io.BufferedReader;
import java.io.ByteArrayInputStream;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.io.InputStreamReader;
import java.io.OutputStream;
import java.io.PrintStream;
import java.lang.reflect.InvocationTargetException;
import java.nio.charset.StandardCharsets;
import java.util.Arrays;
import org.apache.kafka.common.utils.Exit;

/**
 * Runs main classes of Kafka's command-line tools in one process, which spares most of their time: each line of standard input is a
 * class, its standard input and its arguments, separated by tabs; the answer is a line "EXIT-CODE LENGTH" and what the tool wrote.
 */
public final class Tools {
    /** Stands for the end of the process that a tool asked for. */
    private static final class Ended extends Error {
        private static final long serialVersionUID = 1;

        Ended() {
            super("ended", null, false, false);
        }
    }

    private static Integer exitCode; // what the tool asked for first: some catch all that is thrown, and ask again

    private static void end(int code, String message) {
        if (exitCode == null) {
            exitCode = code;
        }
        throw new Ended();
    }

    public static void main(String[] arguments) throws IOException {
        PrintStream answers = System.out;
        BufferedReader lines = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
        ByteArrayOutputStream written = new ByteArrayOutputStream();
        PrintStream out = new PrintStream(written, true, StandardCharsets.UTF_8);
        System.setOut(out); // before any tool keeps it
        System.setErr(out);
        Exit.setExitProcedure(Tools::end);
        Exit.setHaltProcedure(Tools::end);
        for (String line = lines.readLine(); line != null; line = lines.readLine()) {
            String[] words = line.split("\t", -1);
            System.setIn(new ByteArrayInputStream(words[1].replace(' ', '\n').getBytes(StandardCharsets.UTF_8)));
            int code = run(words[0], Arrays.copyOfRange(words, 2, words.length));
            answer(answers, code, written);
        }
    }

    private static int run(String name, String[] arguments) {
        exitCode = null;
        try {
            Class.forName(name).getMethod("main", String[].class).invoke(null, (Object) arguments);
            return exitCode == null ? 0 : exitCode;
        } catch (InvocationTargetException e) {
            if (exitCode != null) {
                return exitCode;
            }
            System.out.println(e.getCause());
            return 1;
        } catch (ReflectiveOperationException e) {
            System.out.println(e);
            return 1;
        }
    }

    private static void answer(OutputStream answers, int code, ByteArrayOutputStream written) throws IOException {
        answers.write((code + " " + written.size() + "\n").getBytes(StandardCharsets.UTF_8));
        written.writeTo(answers);
        answers.flush();
        written.reset();
    }
}
