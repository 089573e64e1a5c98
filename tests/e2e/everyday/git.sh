# SPDX-License-Identifier: Apache-2.0
export GIT_AUTHOR_DATE='2020-01-01T00:00:00Z' GIT_COMMITTER_DATE='2020-01-01T00:00:00Z'
export GIT_CONFIG_GLOBAL="$TMPDIR/gitconfig"
git config --global init.defaultBranch main
git config --global user.name A
git config --global user.email a@example.org
git config --global safe.directory '*'
git config --global advice.detachedHead false
cd tree
git init -q
git add .
git commit -qm one
git status --short
git checkout -qb side
sed -i s/red/green/ etc/app.conf
git commit -qam two
git mv a/b/c moved
git commit -qm three
git checkout -q main
echo new > new
git add new
git commit -qm four
git merge -q --no-edit side
git log --oneline --graph --stat
git stash list
rm new
git diff --stat
git restore new
echo x >> new
git stash -q
git stash pop -q
git diff
git gc -q
git fsck --no-progress --strict
git tag -a v1 -m v1
git clone -q . ../clone
git -C ../clone log -1 --format=%s
git checkout -q v1~1
git worktree list | wc -l
rm -rf .git ../clone/.git
