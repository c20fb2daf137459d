//! Archives as they come about over time or by accident: what is appended, replaced, left out.

use crate::ways::Tool;

/// An archive that is made by hand.
pub struct Odd {
    pub name: &'static str,
    /// Lines of shell, run in an empty directory, that make `$OUT`.
    pub make: &'static str,
}

const fn odd(name: &'static str, make: &'static str) -> Odd {
    Odd { name, make }
}

/// Who takes these apart. What they have in common is what we do.
pub const EXTRACTED_BY: &[Tool] = &[Tool::Gnu];

/// All of them.
pub const ODD: &[Odd] = &[
    odd(
        "odd: files replaced by appending",
        "echo 1 >a; ln a a2; echo 2 >b; tar -cf $OUT a a2 b
         rm a; echo longer >a; chmod 4711 a; rm a2; ln b a2; tar -rf $OUT a a2 b; tar -rf $OUT a",
    ),
    odd(
        "odd: every type replaced by every other",
        "types='file dir link fifo null hard'
         make() { case $1 in file) echo $2 >$2;; dir) mkdir $2;; link) ln -s target $2;; fifo) mkfifo $2;;
             null) mknod $2 c 1 3;; hard) ln other $2;; esac; }
         echo other >other; for from in $types; do for to in $types; do make $from $from-$to; done; done
         tar -cf $OUT other *-*; rm -rf *-*
         for from in $types; do for to in $types; do make $to $from-$to; done; done
         tar -rf $OUT other *-*",
    ),
    odd(
        "odd: a directory with something in it replaced",
        "mkdir d e; echo 1 >d/in; echo 2 >e/in; tar -cf $OUT d e; rm -rf d e; echo f >d; ln -s x e
         tar -rf $OUT d e 2>&1",
    ),
    odd(
        "odd: attributes of a directory come again",
        "mkdir -p d/e; chmod 700 d; touch d/f; setfattr -n user.a -v 1 d; tar --xattrs -cf $OUT d
         setfattr -x user.a d; setfattr -n user.b -v 2 d; chmod 2750 d; touch -d @5 d
         tar --xattrs --no-recursion -rf $OUT d",
    ),
    odd(
        "odd: a link to what was replaced later",
        "echo 1 >a; tar -cf $OUT a; ln a b; tar -rf $OUT a b; rm a; echo 2 >a; tar -rf $OUT a
         ln a c; tar -rf $OUT a c",
    ),
    odd(
        "odd: members before their directories",
        "mkdir -p x/y/z; chmod 700 x/y; touch -d @7 x/y/z x/y x; echo 1 >x/y/z/f; touch -d @7 x/y/z
         tar --no-recursion -cf $OUT x/y/z/f x/y/z x/y x",
    ),
    odd(
        "odd: a symbolic link that leads out is no way in",
        "mkdir real; echo 1 >real/f; ln -s /nowhere/real link; tar -cf $OUT link real
         rm link; ln -s real link; tar -rf $OUT link/f",
    ),
    odd("odd: a tar inside a tar", "echo 1 >a; tar -cf in.tar a; tar -cf $OUT in.tar a in.tar"),
    odd("odd: archives one after the other", "echo 1 >a; tar -cf a.tar a; cp a.tar b; tar -cf b.tar b; cat a.tar b.tar >$OUT"),
    odd("odd: an end mark of one block", "echo 1 >a; tar -b1 -cf x a; head -c -512 x >$OUT"),
    odd("odd: no end mark", "echo 1 >a; tar -b1 -cf x a; head -c -1024 x >$OUT"),
    odd("odd: nothing but directories", "mkdir -p a/b/c d/e; chmod 1777 d; tar -cf $OUT a d"),
    odd("only the root", "chmod 750 .; touch -d @11 .; tar --no-recursion -cf $OUT ."),
    odd(
        "odd: names with dots and slashes",
        "mkdir -p a/b; echo 1 >a/b/f; tar -P --transform='s,^a/b/f$,.//a/./b//g,' -cf $OUT a/b/f
         tar -P --transform='s,^a/b/f$,/h,' -rf $OUT a/b/f; tar -P --transform='s,^a/b$,a/b/i/.,' --no-recursion -rf $OUT a/b",
    ),
];
