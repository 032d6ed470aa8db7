//! The media type of a file that was stored without one, from its name, as the filer finds it.
//!
//! The filer is a Go program: it knows some types by itself, reads the rest from the files of the machine that it
//! runs on, and registers types of its own over both. We stand on the same machine and read the same files, so that
//! the answers agree. Sources: `mime/type.go` and `mime/type_unix.go` of Go 1.26, `weed/admin/dash/file_mime.go` @4.48;
//! each line of the tables was seen on the real filer.

use std::{collections::HashMap, fs};

/// The type of a file that nothing is known about.
const UNKNOWN: &str = "application/octet-stream";

/// The shared-mime-info databases; the first that can be read is the only one used.
const GLOBS: [&str; 2] = ["/usr/local/share/mime/globs2", "/usr/share/mime/globs2"];
/// Where types come from without such a database; all of these are read.
const MIME_TYPES: [&str; 4] =
    ["/etc/mime.types", "/etc/apache2/mime.types", "/etc/apache/mime.types", "/etc/httpd/conf/mime.types"];

/// Types that Go knows without asking the machine. A database of globs does not override them, a `mime.types` file
/// does.
const BUILT_IN: &[(&str, &str)] = &[
    ("image/jpeg", "jfif jpeg jpg pjp pjpeg"),
    ("image/apng", "apng"),
    ("image/avif", "avif"),
    ("image/bmp", "bmp"),
    ("image/gif", "gif"),
    ("image/png", "png"),
    ("image/svg+xml", "svg"),
    ("image/tiff", "tif tiff"),
    ("image/vnd.microsoft.icon", "ico"),
    ("image/webp", "webp"),
    ("image/x-xbitmap", "xbm"),
    ("audio/flac", "flac"),
    ("audio/mp4", "m4a"),
    ("audio/mpeg", "mp3"),
    ("audio/ogg", "oga ogg opus"),
    ("audio/wav", "wav"),
    ("audio/webm", "weba"),
    ("video/mp4", "mp4"),
    ("video/ogg", "ogv"),
    ("video/webm", "webm"),
    ("text/calendar", "ics"),
    ("text/css", "css"),
    ("text/csv", "csv"),
    ("text/html", "ehtml htm html shtml"),
    ("text/javascript", "js mjs"),
    ("text/plain", "text txt"),
    ("text/vtt", "vtt"),
    ("text/xml", "xbl xml xsl"),
    ("message/rfc822", "eml"),
    ("application/gzip", "gz"),
    ("application/json", "json"),
    ("application/msword", "doc"),
    ("application/octet-stream", "bin com exe"),
    ("application/pdf", "pdf"),
    ("application/postscript", "ai eps ps"),
    ("application/rdf+xml", "rdf"),
    ("application/rtf", "rtf"),
    ("application/vnd.android.package-archive", "apk"),
    ("application/vnd.ms-excel", "xls"),
    ("application/vnd.ms-powerpoint", "ppt"),
    ("application/vnd.openxmlformats-officedocument.presentationml.presentation", "pptx"),
    ("application/vnd.openxmlformats-officedocument.spreadsheetml.sheet", "xlsx"),
    ("application/vnd.openxmlformats-officedocument.wordprocessingml.document", "docx"),
    ("application/wasm", "wasm"),
    ("application/xhtml+xml", "xht xhtml"),
    ("application/zip", "zip"),
];

/// Types that the weed binary registers over all others.
const REGISTERED: &[(&str, &str)] = &[
    ("text/plain", "txt log cfg conf ini properties gitignore gitattributes env"),
    ("text/markdown", "md markdown"),
    ("text/html", "html htm"),
    ("text/css", "css"),
    ("text/csv", "csv"),
    ("text/sql", "sql"),
    ("text/yaml", "yaml yml"),
    ("text/typescript", "ts"),
    ("text/x-python", "py"),
    ("text/x-go", "go"),
    ("text/x-java", "java"),
    ("text/x-c", "c"),
    ("text/x-c++", "cpp cc cxx c++"),
    ("text/x-c-header", "h hpp"),
    ("text/x-php", "php"),
    ("text/x-ruby", "rb"),
    ("text/x-perl", "pl"),
    ("text/x-rust", "rs"),
    ("text/x-swift", "swift"),
    ("text/x-kotlin", "kt"),
    ("text/x-scala", "scala"),
    ("text/x-shellscript", "sh bash zsh fish"),
    ("text/x-dockerfile", "dockerfile"),
    ("application/javascript", "js mjs"),
    ("application/json", "json"),
    ("application/xml", "xml"),
    ("application/pdf", "pdf"),
    ("application/msword", "doc"),
    ("application/vnd.ms-excel", "xls"),
    ("application/vnd.ms-powerpoint", "ppt"),
    ("application/vnd.openxmlformats-officedocument.presentationml.presentation", "pptx"),
    ("application/vnd.openxmlformats-officedocument.spreadsheetml.sheet", "xlsx"),
    ("application/vnd.openxmlformats-officedocument.wordprocessingml.document", "docx"),
    ("application/zip", "zip"),
    ("application/x-tar", "tar"),
    ("application/gzip", "gz"),
    ("application/x-bzip2", "bz2"),
    ("application/x-7z-compressed", "7z"),
    ("application/x-rar-compressed", "rar"),
    ("image/jpeg", "jpg jpeg"),
    ("image/png", "png"),
    ("image/gif", "gif"),
    ("image/bmp", "bmp"),
    ("image/webp", "webp"),
    ("image/svg+xml", "svg"),
    ("image/x-icon", "ico"),
    ("video/mp4", "mp4"),
    ("video/x-msvideo", "avi"),
    ("video/quicktime", "mov"),
    ("video/x-ms-wmv", "wmv"),
    ("video/x-flv", "flv"),
    ("video/webm", "webm"),
    ("audio/mpeg", "mp3"),
    ("audio/wav", "wav"),
    ("audio/flac", "flac"),
    ("audio/aac", "aac"),
    ("audio/ogg", "ogg"),
];

/// Media types by file name extension, as a filer on this machine has them.
#[derive(Clone, Debug)]
pub struct ContentTypes {
    /// By extension as it was written.
    exact: HashMap<String, String>,
    /// By extension in lower case; asked second.
    folded: HashMap<String, String>,
}

impl ContentTypes {
    /// Reads the type databases of this machine. Blocks on a few small files; call it once, at start. Files that
    /// can't be read count as absent, as for the filer.
    pub fn of_this_machine() -> Self {
        match GLOBS.iter().find_map(|path| fs::read_to_string(path).ok()) {
            Some(globs) => Self::from_databases(Some(&globs), &[]),
            None => {
                let files: Vec<_> = MIME_TYPES.iter().filter_map(|path| fs::read_to_string(path).ok()).collect();
                Self::from_databases(None, &files)
            }
        }
    }

    fn from_databases(globs: Option<&str>, mime_types: &[String]) -> Self {
        let mut types = Self { exact: HashMap::new(), folded: HashMap::new() };
        types.add_table(BUILT_IN);
        globs.into_iter().for_each(|globs| types.add_globs(globs));
        mime_types.iter().for_each(|file| types.add_mime_types(file));
        types.add_table(REGISTERED);
        types
    }

    /// The type of a file of that name; `application/octet-stream` if nothing is known.
    pub fn of(&self, name: &str) -> &str {
        let Some((_, extension)) = name.rsplit_once('.') else { return UNKNOWN };
        let found = self.exact.get(extension).or_else(|| self.folded.get(&extension.to_lowercase()));
        found.map_or(UNKNOWN, String::as_str)
    }

    fn add_table(&mut self, table: &[(&str, &str)]) {
        for (media_type, extensions) in table {
            extensions.split(' ').for_each(|extension| self.add(extension, media_type));
        }
    }

    /// Lines `weight:type:glob`, sorted by weight, so the first one for an extension counts.
    fn add_globs(&mut self, globs: &str) {
        for line in globs.lines().filter(|line| !line.starts_with('#')) {
            let mut fields = line.split(':').skip(1);
            let (Some(media_type), Some(glob)) = (fields.next(), fields.next()) else { continue };
            let Some(extension) = glob.strip_prefix("*.") else { continue };
            let is_plain = !extension.is_empty() && !extension.contains(['?', '*', '[']);
            if is_plain && !self.exact.contains_key(extension) {
                self.add(extension, media_type);
            }
        }
    }

    /// Lines `type extension…`; the last one for an extension counts.
    fn add_mime_types(&mut self, file: &str) {
        for line in file.lines() {
            let mut fields = line.split_whitespace().take_while(|field| !field.starts_with('#'));
            let Some(media_type) = fields.next() else { continue };
            fields.for_each(|extension| self.add(extension, media_type));
        }
    }

    fn add(&mut self, extension: &str, media_type: &str) {
        // Go formats a text type anew when it adds the charset; the case is lost on the way.
        let is_bare_text = media_type.starts_with("text/") && !media_type.contains(';');
        let media_type =
            if is_bare_text { format!("{}; charset=utf-8", media_type.to_lowercase()) } else { media_type.to_owned() };
        self.folded.insert(extension.to_lowercase(), media_type.clone());
        self.exact.insert(extension.to_owned(), media_type);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SOME_GLOBS: &str = "# comment\n80:application/x-dvi:*.dvi\n50:text/x-c++src:*.C\n50:image/x-dvi:*.dvi\n\
                              50:text/rust:*.rs\n50:text/x-iMelody:*.imy\n50:audio/x-wav:*.wav\n\
                              10:text/x:*.?x\nnonsense\n50:text/a:makefile\n50:a/b:*.\n";

    #[test]
    fn gives_what_the_filer_gives_with_globs() {
        let types = ContentTypes::from_databases(Some(SOME_GLOBS), &[]);
        for (name, expected) in [
            ("a.txt", "text/plain; charset=utf-8"),
            ("a.TXT", "text/plain; charset=utf-8"),
            ("a.html", "text/html; charset=utf-8"),
            ("a.json", "application/json"),
            ("a.js", "application/javascript"),
            ("a.md", "text/markdown; charset=utf-8"),
            ("a.tar.gz", "application/gzip"),
            ("a.rs", "text/x-rust; charset=utf-8"),
            ("a.ico", "image/x-icon"),
            ("a.xsl", "text/xml; charset=utf-8"),
            ("a.dvi", "application/x-dvi"),
            ("a.C", "text/x-c++src; charset=utf-8"),
            ("a.c", "text/x-c; charset=utf-8"),
            ("a.wav", "audio/wav"),
            ("a.imy", "text/x-imelody; charset=utf-8"),
            ("a.unknown", UNKNOWN),
            ("noext", UNKNOWN),
            ("a.jpg.", UNKNOWN),
            (".env", "text/plain; charset=utf-8"),
            ("", UNKNOWN),
        ] {
            assert_eq!(types.of(name), expected, "{name}");
        }
    }

    #[test]
    fn a_mime_types_file_overrides_go_but_not_weed() {
        let file = "# c\ntext/other xsl foo # bar\napplication/other js\nlonely/type\n".to_owned();
        let types = ContentTypes::from_databases(None, &[file]);
        assert_eq!(types.of("a.xsl"), "text/other; charset=utf-8");
        assert_eq!(types.of("a.foo"), "text/other; charset=utf-8");
        assert_eq!(types.of("a.bar"), UNKNOWN);
        assert_eq!(types.of("a.js"), "application/javascript");
    }
}
