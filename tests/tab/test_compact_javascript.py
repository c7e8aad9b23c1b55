"""JavaScript loses comments and white space only: no token changes, and no statement joins another one."""

import re

import pytest

from reluviz.tab.compact_javascript import compact
from reluviz.tab.static_files import static_files

MODULES = sorted(path for path in static_files() if path.endswith(".js"))


@pytest.mark.parametrize(
    ("code", "wanted"),
    [
        ("// a comment\nconst a = 1;  // another\nb();\n", "const a=1;b();"),
        ("/** several\n * lines */\nconst a = {\n  b: 2,\n};\n", "const a={b:2,};"),
        ("a();\n/* one */ b(/* two */ c);", "a();b(c);"),
        ("a\nb", "a\nb"),
        ("const f = () => {\n}\nf()\n", "const f=()=>{}\nf()"),
        ("let a = b\n(c)", "let a=b\n(c)"),
        ("a\n++b", "a\n++b"),
        ("return a\n  .map(f)\n  .join();", "return a.map(f).join();"),
        ("x = a + +b - -c + ++d;", "x=a+ +b- -c+ ++d;"),
        ("x = a\n+ b", "x=a\n+b"),
        ("return typeof x in y", "return typeof x in y"),
        ('const s = "a  //  b" + \'c  /* d */\';', 'const s="a  //  b"+\'c  /* d */\';'),
        ('const s = "a \\" // b";', 'const s="a \\" // b";'),
        ("const t = `a  ${ b + `c  ${ { d: '}' } }` }  // e`;", "const t=`a  ${ b + `c  ${ { d: '}' } }` }  // e`;"),
        ("const t = `\n  kept\n`;", "const t=`\n  kept\n`;"),
        ("const t = `\\` // ${a}`;", "const t=`\\` // ${a}`;"),
        ("x = a / b / c; y = (a) / 2;", "x=a / b / c;y=(a)/ 2;"),
        ("s.replace(/  \\/[/ \"]  /g, a);", "s.replace(/  \\/[/ \"]  /g,a);"),
        ("return / a/.test(b);", "return / a/.test(b);"),
        ("const found = /[`'\"]/ .exec(a);", "const found=/[`'\"]/.exec(a);"),
        ("class A {\n  #b = 1;\n\n  get c() {\n    return 1;\n  }\n\n  *d() {}\n}\n", "class A{#b=1;get c(){return 1;}*d(){}}"),
        ("if (a) b();\nelse c();", "if(a)b();else c();"),
        ("x = a ? .5 : 1;", "x=a?.5:1;"),
        ("", ""),
        ("  \n// nothing else", ""),
    ],
)
def test_code_becomes_compact(code: str, wanted: str) -> None:
    assert compact(code) == wanted
    assert compact(wanted) == wanted


@pytest.mark.parametrize("path", MODULES)
def test_a_module_keeps_its_strings_and_all_its_code(path: str) -> None:
    text = static_files()[path].decode()
    short = compact(text)
    # what is left of both without white space; a comment has its lines to itself, or ends a line after code
    code = re.sub(r"^[ \t]*(?://.*|/\*(?s:.*?)\*/)$|(?<=[;{},]) // .*$", "", text, flags=re.M)
    assert re.sub(r"\s", "", short) == re.sub(r"\s", "", code)
    # strings and template literals are the same, white space included
    strings = r'"(?:[^"\\\n]|\\.)*"|`[^`\n]*`'
    assert re.findall(strings, short) == re.findall(strings, code)


def test_modules_become_shorter_by_a_fifth() -> None:
    sizes = [(len(static_files()[path]), len(compact(static_files()[path].decode()).encode())) for path in MODULES]
    assert sum(after for _, after in sizes) < 0.8 * sum(before for before, _ in sizes)
