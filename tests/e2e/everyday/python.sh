# SPDX-License-Identifier: Apache-2.0
cd tree
python3 - <<'END'
import fileinput, glob, hashlib, json, mmap, os, pathlib, shutil, tempfile, zipfile

for line in fileinput.input("etc/app.conf", inplace=True):
    print(line.upper(), end="")
value = json.load(open("etc/app.json"))
value["size"] += 1
with tempfile.NamedTemporaryFile("w", dir="etc", delete=False) as new:
    json.dump(value, new)
os.replace(new.name, "etc/app.json")
with open("logs/log", "r+") as log:
    log.seek(10)
    log.write("here")
    log.seek(0)
    print(log.readline())
with open("logs/log", "rb") as log, mmap.mmap(log.fileno(), 0, mmap.MAP_PRIVATE) as view:
    print(view.find(b"here"), len(view), hashlib.md5(view).hexdigest())
shutil.copytree("a", "copy")
shutil.move("copy/b", "moved")
shutil.rmtree("copy")
with zipfile.ZipFile("all.zip", "w") as archive:
    for path in sorted(glob.glob("*/*")):
        archive.write(path)
with zipfile.ZipFile("all.zip") as archive:
    print(archive.testzip(), archive.namelist())
os.unlink("all.zip")
for folder, folders, files in sorted(os.walk(".")):
    print(folder, sorted(folders), sorted(files))
print(sorted((e.name, e.is_dir(), e.stat().st_size * e.is_file()) for e in os.scandir("etc")))
with open("etc/app.json", "rb") as source, open("etc/sent", "wb") as target:
    os.sendfile(target.fileno(), source.fileno(), 0, 99)
with open("logs/log", "rb") as source, open("etc/range", "wb") as target:
    os.copy_file_range(source.fileno(), target.fileno(), 500)
with tempfile.TemporaryDirectory(dir="a") as folder:
    pathlib.Path(folder, "x").write_text("x")
pathlib.Path("p/q/r").mkdir(parents=True)
pathlib.Path("p/q/f").touch()
pathlib.Path("p/q/f").rename("p/g")
END
