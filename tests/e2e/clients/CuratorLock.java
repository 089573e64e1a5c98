// SPDX-License-Identifier: Apache-2.0
// A service written with Curator that takes locks when it is told to. Started with HOST:PORT; reads lines
// "mutex|read|write acquire|try|release PATH" and answers each with a line: "true", "false" or "released".
import java.util.HashMap;
import java.util.Map;
import java.util.Scanner;
import java.util.concurrent.TimeUnit;
import org.apache.curator.framework.CuratorFramework;
import org.apache.curator.framework.CuratorFrameworkFactory;
import org.apache.curator.framework.recipes.locks.InterProcessLock;
import org.apache.curator.framework.recipes.locks.InterProcessMutex;
import org.apache.curator.framework.recipes.locks.InterProcessReadWriteLock;
import org.apache.curator.retry.RetryOneTime;

public class CuratorLock {
    private static InterProcessLock make(CuratorFramework client, String kind, String path) {
        if (kind.equals("mutex")) {
            return new InterProcessMutex(client, path);
        }
        InterProcessReadWriteLock both = new InterProcessReadWriteLock(client, path);
        return kind.equals("read") ? both.readLock() : both.writeLock();
    }

    public static void main(String[] args) throws Exception {
        CuratorFramework client =
            CuratorFrameworkFactory.newClient(args[0], 10000, 10000, new RetryOneTime(100));
        client.start();
        client.blockUntilConnected();
        Map<String, InterProcessLock> locks = new HashMap<>();
        System.out.println("ready");
        Scanner lines = new Scanner(System.in);
        while (lines.hasNextLine()) {
            String[] words = lines.nextLine().split(" ");
            InterProcessLock lock = locks.computeIfAbsent(
                words[0] + " " + words[2], key -> make(client, words[0], words[2]));
            if (words[1].equals("release")) {
                lock.release();
                System.out.println("released");
            } else {
                System.out.println(lock.acquire(
                    words[1].equals("try") ? 300 : 20000, TimeUnit.MILLISECONDS));
            }
        }
        client.close();
    }
}
